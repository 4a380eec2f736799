"""A TorchScript archive whose code imports a module: the code is text."""

import zipfile
from pathlib import Path

from ._pytorch import archive, pickled, state, tensor

VERDICT = "read"
READS = ("weight", [[1.0, 2.0], [3.0, 4.0]])


def make(folder: Path) -> Path:
    made = b"c__torch__\nNet\n)\x81" + state(("weight", tensor())) + b"b"
    path = archive(folder, pickled(made))
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("archive/constants.pkl", pickled(b")"))
        file.writestr(
            "archive/code/__torch__.py", "import evidence_module\nclass Net(Module):\n  n : Final[int] = exit()\n"
        )
    return path
