"""NEWOBJ_EX makes one with named arguments."""

from pathlib import Path

from ._pytorch import archive, beside, name, shell, state

VERDICT = "refused"
CLAIM = "subprocess.Popen"


def make(folder: Path) -> Path:
    return archive(
        folder, beside(name("subprocess.Popen") + b"(t" + state(("args", shell(folder)), ("shell", b"\x88")) + b"\x92")
    )
