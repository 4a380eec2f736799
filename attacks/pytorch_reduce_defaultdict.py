"""A dict whose missing keys call os.system: made, and not called."""

from pathlib import Path

from ._pytorch import archive, beside, call, shell

VERDICT = "refused"
CLAIM = "os.system"


def make(folder: Path) -> Path:
    return archive(folder, beside(call("collections.defaultdict", call("os.system", shell(folder)))))
