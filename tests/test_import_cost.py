"""What is imported, in processes of their own: reading a file needs no framework and no NumPy."""

from __future__ import annotations

import subprocess
import sys

import pytest
from safetensors.torch import save_file

HEAVY = ("torch", "numpy", "pandas", "pyarrow", "rich")
SLOW = (*HEAVY, "dataclasses", "inspect", "traceback", "shutil", "difflib", "csv")


def loaded(code: str) -> set[str]:
    """The top-level modules that are loaded after `code`."""
    tell = "print('|'.join({name.split('.')[0] for name in set(sys.modules) - had}))"
    whole = f"import sys\nhad = set(sys.modules)\n{code}\n{tell}"
    found = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, check=True)
    return set(found.stdout.splitlines()[-1].split("|"))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    import torch

    path = tmp_path_factory.mktemp("cost") / "model.safetensors"
    save_file({"fc1.weight": torch.ones(4, 3), "fc1.bias": torch.ones(4)}, path)
    return path


def test_importing_patchclamp_imports_next_to_nothing():
    assert loaded("import patchclamp") <= {"patchclamp", "importlib", "warnings", "__future__"}


@pytest.mark.parametrize("words", [("show", "fc1[3]"), ("show", "fc1"), ("show", "fc1[:2]"), ("layers",), ("count",)])
def test_reading_a_file_imports_nothing_heavy(path, words):
    code = f"from patchclamp.cli import main\nassert main([{words[0]!r}, {str(path)!r}, *{words[1:]!r}]) == 0"
    found = loaded(code)
    assert "patchclamp" in found
    assert found.isdisjoint(SLOW)


@pytest.mark.parametrize("form", ["json", "csv", "tsv"])
def test_the_data_formats_import_nothing_heavy(path, form):
    code = f"from patchclamp.cli import main\nassert main(['show', {str(path)!r}, 'fc1[3]', '--format', {form!r}]) == 0"
    assert loaded(code).isdisjoint(HEAVY)


def test_the_tests_above_can_fail():
    assert "numpy" in loaded("import patchclamp.network")


def test_an_error_is_found_without_them_too(path):
    code = f"from patchclamp.cli import main\nassert main(['show', {str(path)!r}, 'fc2[3]']) == 1"
    assert loaded(code).isdisjoint(HEAVY)
