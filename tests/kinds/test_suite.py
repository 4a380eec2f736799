"""KindSuite on every line of the catalogue: each row that a model of transformers uses, held to every promise."""

from __future__ import annotations

from typing import Any

import pytest

import patchclamp as pc
from patchclamp.errors import KindError, RunError
from patchclamp.kinds import Kind
from patchclamp.testing import check_kind

pytest.importorskip("transformers")

from benchmarks.architectures import NotBuilt, build, names

FEW = ("bert", "gpt_oss", "wav2vec2")


def _line(kind: Kind) -> str:
    """What two rows must share to be one line: everything but the class's name."""
    told = (kind.family, kind.arrays, kind.facts, kind.views, kind.input, kind.output, kind.called, kind.others)
    return repr(tuple(sorted(part.items()) if hasattr(part, "items") else part for part in told))


def _suite(types: tuple[str, ...]) -> dict[str, list[str]]:
    """The lines that were checked, and those whose layers no input reached or that give nothing to compare."""
    found: dict[str, list[str]] = {"checked": [], "not run": [], "not recomputed": []}
    done: set[str] = set()
    for model_type in types:
        try:
            built = build(model_type)
        except NotBuilt:
            continue
        for name, layer in pc.open(built.model).model.layers.items():
            if layer.kind is not None and layer.populations and (line := _line(layer.kind)) not in done:
                outcome = _checked(built, name)
                found[outcome].append(f"{model_type} {name}")
                if outcome != "not run":
                    done.add(line)
    return found


def _checked(built: Any, name: str) -> str:
    try:
        check_kind(built.model, built.inputs, name)
    except RunError:
        return "not run"
    except KindError as error:
        assert "is not what its" in str(error) or "has no formula" in str(error), str(error)
        return "not recomputed"
    return "checked"


def test_lines_keep_their_promises() -> None:
    found = _suite(FEW)
    assert len(found["checked"]) >= 9


@pytest.mark.slow
def test_every_line_keeps_its_promises() -> None:
    found = _suite(names())
    assert len(found["checked"]) >= 60
