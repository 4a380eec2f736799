"""The measured number for keras.applications: what is right is found right, and what is not is noticed."""

from __future__ import annotations

from subprocess import CompletedProcess
from typing import Any

import pytest

pytest.importorskip("keras")

from benchmarks import applications
from benchmarks.applications import BEGIN, END, PAGE, Covered, measure

TINY: Any = {"alpha": 0.25}


def test_a_small_architecture_is_accounted_for_and_right() -> None:
    found = measure("MobileNet", **TINY)
    model, side = applications.built("MobileNet", **TINY)
    trained = sum(int(variable.value.numel()) for variable in model.trainable_variables)
    assert (found.side, found.accounted, found.parameters) == (side, trained, trained)
    assert (found.unknown, found.wrong, found.bare, found.silent) == ([], [], 0, 0)
    assert found.layers == {"stated": sum(bool(layer.variables) for layer in model.layers)}
    assert found.neurons == 3 * sum(bool(layer.trainable_variables) for layer in model.layers)
    assert found.good and not found.left


def test_what_is_wrong_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network whose weights change after it was recorded: what was recorded is then not what they give."""
    real = applications.verify

    def after_a_change(model: Any, neurons: Any, calls: Any) -> object:
        neurons.population.placed[0].array.read().mul_(1.5)
        return real(model, neurons, calls)

    monkeypatch.setattr(applications, "verify", after_a_change)
    found = measure("MobileNet", **TINY)
    assert len(found.wrong) > 10
    assert found.left
    assert not found.good


def test_what_is_left_on_a_layer_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    real = applications._recompute

    def leaving(model: Any, x: Any, found: Covered) -> None:
        real(model, x, found)
        model.keeper.layer.layers[1].seen = True

    monkeypatch.setattr(applications, "_recompute", leaving)
    found = measure("MobileNet", **TINY)
    assert found.left and not found.wrong and not found.good


def test_every_architecture_of_keras_has_its_row() -> None:
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    written = rest.partition(END)[0]
    for name in applications.names():
        assert f"| {name} | {'jax' if name in applications.NOT_ON_TORCH else 'torch'} | " in written, name


def test_an_architecture_that_cannot_be_built_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, str] = {}

    def run(command: list[str], env: dict[str, str], **options: Any) -> CompletedProcess[str]:
        asked[command[-1]] = env["KERAS_BACKEND"]
        return CompletedProcess(command, 1, "", "Traceback\n  ...\nValueError: no such input\n")

    monkeypatch.setattr(applications.subprocess, "run", run)
    found = list(applications.measured(["VGG16", "NASNetMobile"], 1))
    assert [one.reason for one in found] == ["ValueError: no such input"] * 2
    assert not any(one.good for one in found)
    assert asked == {"VGG16": applications.keras.config.backend(), "NASNetMobile": "jax"}


def test_the_table_counts_what_is_whole() -> None:
    good = Covered("One", backend="torch", side=32, parameters=8, accounted=8, neurons=3, layers={"stated": 2})
    part = Covered("Two", backend="torch", side=48, parameters=8, accounted=6, neurons=3, layers={"unknown": 1})
    wrong = Covered("Three", backend="jax", parameters=8, accounted=8, neurons=2, inner=4, wrong=["a[1]: 3 times"])
    none = Covered("Four", "ValueError: a | b")
    text = applications.table([good, part, wrong, none])
    assert "; on torch; Three on jax." in text
    assert "architectures: 4; built and run: 3" in text
    assert "every parameter accounted for: 2 of 3" in text
    assert "every recomputed neuron right: 1 of 3" in text
    assert "with a wrong answer: 1; with something left behind: 0" in text
    assert "| Two | torch | 48 | 8 | 75.0% | 0 | 1 | 3 | 0 | 0 | 0 | 0 |" in text
    assert "| Three | jax | 0 | 8 | 100.0% | 0 | 0 | 2 | 4 | 0 | 0 | 1 |" in text
    assert "| Four | ValueError: a / b |" in text
