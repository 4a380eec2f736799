"""The sources keep scripts/floors.py, and every rule of it can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

import floors

PACKAGE = Path(__file__).parents[1] / "src" / "patchclamp"


def tree(root: Path, files: dict[str, str]) -> Path:
    """A package folder of these files, beside a root __init__ that is in order."""
    package = root / "patchclamp"
    for name, text in {"__init__.py": "__all__ = []\n", **files}.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return package


def rules(root: Path, files: dict[str, str]) -> list[str]:
    return [finding.rule for finding in floors.check(tree(root, files))]


def test_sources_keep_the_rules():
    assert [str(finding) for finding in floors.check(PACKAGE)] == []


def test_every_file_of_the_sources_is_looked_at():
    assert {source.path for source in floors.sources(PACKAGE)} == set(PACKAGE.rglob("*.py"))
    assert len(floors.sources(PACKAGE)) > 5


def test_table_names_each_member_once():
    members = [member for rows in floors.FLOORS for row in rows for member in row]
    assert len(members) == len(set(members))


IN_ORDER = {
    "errors.py": "import re\n",
    "axes.py": "from .errors import AxisError\n",
    "arrays.py": "from patchclamp.axes import Line\n",
    "model.py": "from patchclamp import arrays, axes\n",
    "kinds/__init__.py": "from patchclamp.kinds.conv import ROWS\n",
    "kinds/conv.py": "from ..model import Kind\n",
    "formulas/__init__.py": "import numpy as np\n",
    "parts/rich.py": "from rich.table import Table\n",
    "read.py": "import numpy as np\nfrom .model import Layer\n",
    "verify.py": "from patchclamp.read import read\n",
    "frameworks/__init__.py": "def find(name):\n    from .torch import open_network\n    return open_network\n",
    "frameworks/torch/__init__.py": "import torch\nfrom .tap import tap\n",
    "frameworks/torch/tap.py": "import torch.nn as nn\nfrom ...model import Layer\n",
    "network.py": "from . import read, verify\n",
    "cli/__init__.py": "import rich\nfrom patchclamp.network import Network\n",
    "__main__.py": "from patchclamp.cli import main\n",
    "__init__.py": "__all__ = ['open']\ndef __getattr__(name):\n    from .network import Network\n    return Network\n",
}


def test_tree_in_order_has_no_findings(tmp_path: Path):
    assert [str(finding) for finding in floors.check(tree(tmp_path, IN_ORDER))] == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        pytest.param("axes.py", "from patchclamp.model import Kind\n", id="higher floor"),
        pytest.param("axes.py", "from patchclamp import model\n", id="higher floor, module as a name"),
        pytest.param("axes.py", "from . import model\n", id="higher floor, relative"),
        pytest.param("kinds/conv.py", "from .. import network\n", id="higher floor, from a folder"),
        pytest.param("axes.py", "import patchclamp.model as model\n", id="higher floor, plain import"),
        pytest.param("read.py", "from patchclamp import open\n", id="the root is the top floor"),
        pytest.param(
            "axes.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from patchclamp.model import Kind\n",
            id="higher floor, for typing only",
        ),
        pytest.param(
            "axes.py", "from importlib import import_module\nimport_module('patchclamp.model')\n", id="import_module"
        ),
        pytest.param("kinds/conv.py", "from patchclamp.formulas import conv\n", id="sibling folders"),
        pytest.param("cli/show.py", "from patchclamp.testing import KindSuite\n", id="sibling folders on top"),
        pytest.param("frameworks/torch/tap.py", "from patchclamp.files import open_file\n", id="adapters"),
        pytest.param("read.py", "from patchclamp.frameworks import find\n", id="act imports adapter"),
        pytest.param("frameworks/torch/tap.py", "from patchclamp.read import read\n", id="adapter imports act"),
        pytest.param("errors.py", "import numpy\n", id="NumPy on floor 0"),
        pytest.param("model.py", "import numpy\n", id="NumPy on floor 1"),
        pytest.param("formulas/__init__.py", "import scipy\n", id="other packages on floor 1"),
        pytest.param("read.py", "import pandas\n", id="undeclared package"),
        pytest.param("network.py", "import rich\n", id="rich in the hand"),
        pytest.param("parts/text.py", "import rich\n", id="rich in a neutral part"),
        pytest.param("network.py", "import torch\n", id="torch outside"),
        pytest.param("cli/show.py", "from torch import nn\n", id="torch in a face"),
        pytest.param("files/safetensors.py", "import jax.numpy\n", id="jax in files"),
        pytest.param("frameworks/keras.py", "import torch\n", id="torch in the keras adapter"),
        pytest.param("frameworks/torch/tap.py", "import tensorflow\n", id="tensorflow in the torch adapter"),
        pytest.param("frameworks/__init__.py", "import keras\n", id="keras for all adapters"),
    ],
)
def test_floors_can_fail(tmp_path: Path, path: str, text: str):
    # nothing else may import the file under test, or a cycle is found too
    others = {name: "" for name in IN_ORDER if name != "__init__.py"}
    siblings = {"files/__init__.py": "", "testing/__init__.py": "", "formulas/conv.py": ""}
    assert rules(tmp_path, {**others, **siblings, path: text}) == ["floors"]


def test_module_without_a_floor_fails(tmp_path: Path):
    [finding] = floors.check(tree(tmp_path, {"utils.py": ""}))
    assert finding.rule == "no floor"
    assert "give it a floor" in finding.cause


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("read.py", "def read():\n    import json\n"),
        ("read.py", "class Reader:\n    def read(self):\n        from patchclamp.errors import FileError\n"),
        ("network.py", "import importlib\ndef opened():\n    importlib.import_module('json')\n"),
        ("read.py", "def __getattr__(name):\n    import json\n"),
        ("__init__.py", "__all__ = []\ndef open():\n    import json\n"),
        ("cli/__init__.py", "run = lambda: __import__('json')\n"),
    ],
)
def test_hidden_imports_fail(tmp_path: Path, path: str, text: str):
    assert rules(tmp_path, {"errors.py": "", path: text}) == ["hidden import"]


def test_hidden_imports_are_allowed_in_adapters(tmp_path: Path):
    assert rules(tmp_path, {"files/onnx.py": "def open_file():\n    import json\n"}) == []


@pytest.mark.parametrize(
    "files",
    [
        {"axes.py": "from . import address\n", "address.py": "from . import axes\n"},
        {"kinds/__init__.py": "from .conv import ROWS\n", "kinds/conv.py": "from patchclamp.kinds import register\n"},
        {"read.py": "from .edit import a\n", "edit.py": "from .card import b\n", "card.py": "from .read import c\n"},
    ],
)
def test_cycles_fail(tmp_path: Path, files: dict[str, str]):
    assert rules(tmp_path, files) == ["cycle"]


def lines(count: int) -> str:
    return "a = 1\n" * count


def body(count: int) -> str:
    return "def f():\n" + "    a = 1\n" * (count - 1)


def methods(count: int) -> str:
    names = [f"m{number}" for number in range(count)]
    return "class C:\n    def _private(self): ...\n" + "".join(f"    def {name}(self): ...\n" for name in names)


def names(count: int) -> str:
    return f"__all__ = {[f'name{number}' for number in range(count)]}\n"


@pytest.mark.parametrize(
    ("path", "good", "bad", "rule"),
    [
        ("read.py", lines(400), lines(401), "file length"),
        ("read.py", body(80), body(81), "function length"),
        ("read.py", "def f(a, b, c, /, d, *, e, **f): ...\n", "def f(a, b, c, /, d, *e, f, **g): ...\n", "parameters"),
        (
            "read.py",
            "class C:\n    def m(self, a, b, c, d, e, f): ...\n",
            "class C:\n    async def m(self, a, b, c, d, e, f, g): ...\n",
            "parameters",
        ),
        ("read.py", methods(15), methods(16), "public methods"),
        ("__init__.py", names(25), names(26), "front door"),
        ("__init__.py", "__all__: list[str] = []\n", "", "front door"),
        ("__init__.py", names(1), "__all__ = sorted(globals())\n", "front door"),
        ("__init__.py", names(1), "more = ['a']\n__all__ = [*more]\n", "front door"),
    ],
)
def test_budgets_can_fail(tmp_path: Path, path: str, good: str, bad: str, rule: str):
    assert rules(tmp_path, {path: good}) == []
    assert rules(tmp_path, {path: bad}) == [rule]


def test_script_prints_place_and_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    package = tree(tmp_path, {"axes.py": "\nimport torch\n"})
    assert floors.main([str(package)]) == 1
    assert f"{package / 'axes.py'}:2: floors: imports torch: a framework is at home" in capsys.readouterr().out
    (package / "axes.py").write_text("")
    assert floors.main([str(package)]) == 0
