"""What is installed: one light dependency, and every development package pinned."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def normalised(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~;\[ ]", requirement)[0]).lower()


def pins(name: str) -> list[str]:
    lines = (ROOT / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_numpy_is_the_only_dependency():
    assert [normalised(requirement) for requirement in PROJECT["dependencies"]] == ["numpy"]


def test_every_development_package_is_pinned():
    wanted = {normalised(each) for group in PROJECT["optional-dependencies"].values() for each in group}
    pinned = {normalised(pin) for pin in pins("constraints.txt")}
    assert wanted - {"patchclamp"} <= pinned


def test_pins_are_exact():
    every = [*pins("constraints.txt"), *pins("requirements-models.txt")]
    assert [pin for pin in every if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []


def test_package_is_typed():
    assert (ROOT / "src" / "patchclamp" / "py.typed").exists()
