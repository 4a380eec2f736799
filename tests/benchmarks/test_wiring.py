"""The rows about wiring: every one is measured, differences are named right, and what is not installed is said."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

pytest.importorskip("transformers")

from benchmarks import dependency, wiring, wiring_alone
from benchmarks.measure import HEADER
from tests.support.wiring_zoo import ZOO, Published, published

TINY = Published(lambda size: (ZOO["resnet_basic"]()[0], torch.randn(1, 3, size, size)), 16, 0)
READS = {"stages.1.0.conv1": 2, "stages.1.0.downsample.0": 2}
"""Who reads channel 2 of the first stage's second convolution: by reading the code of the network."""


def columns(row: str) -> int:
    return row.count("|")


def test_a_network_has_its_trace_and_its_table_at_two_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "published", lambda: {"tiny": TINY})
    rows = list(wiring._all_neurons("tiny"))
    assert [row.what.partition(", tiny, ")[2] for row in rows] == [
        f"{size} px: {act}" for size in (16, 32) for act in ("trace", "table and first queries")
    ]
    assert all(row.ours > 0 and row.theirs > 0 for row in rows)
    queries = list(wiring._queries("tiny"))
    assert [row.aim for row in queries] == ["< 1 ms", "< 1 ms"]
    assert {columns(row.row()) for row in (*rows, *queries, wiring.Said("a", "b", "c"))} == {
        columns(HEADER.splitlines()[0])
    }


def test_without_weights_all_connections_are_there() -> None:
    said = wiring_alone.main("fake", "gpt2")
    assert said["edges"] == published()["gpt2"].edges
    assert said["seconds"] > 0
    assert said["bytes"] < 1.5e9


def test_memory_is_that_of_the_act() -> None:
    before = wiring_alone._now()
    held = torch.ones(64 << 20, dtype=torch.uint8)
    del held
    assert 60 << 20 < wiring_alone._highest() - before < 80 << 20


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(dependency, "installed", lambda: False)
    (row,) = wiring._graphs()
    assert "pip install torch-pruning==1.6.1 --no-deps" in row.row()
    assert dependency.main([]) == 2
    assert "pip install torch-pruning" in capsys.readouterr().err


class Graph(dependency.Theirs):
    """A dependency graph in the place of the real one: it knows one convolution, and says what it is told to."""

    says: ClassVar[dependency.Slots] = set()
    partners: ClassVar[dependency.Slots] = set()

    def __init__(self, model: nn.Module, x: Any) -> None:
        self.modules = dict(model.named_modules())
        self.module = model.get_submodule("stages.0.0.conv2")

    def knows(self, module: nn.Module) -> bool:
        return True

    def channel(self, name: str, population: str, number: int) -> tuple[nn.Module, int] | str:
        return (self.module, number) if (name, number) == ("stages.0.0.conv2", 2) else "others"

    def heard(self, module: nn.Module, channel: int) -> tuple[dependency.Slots, dependency.Slots]:
        return self.says, self.partners


@pytest.fixture
def graph(monkeypatch: pytest.MonkeyPatch) -> type[Graph]:
    monkeypatch.setattr(dependency, "Theirs", Graph)
    monkeypatch.setattr(dependency, "PER_LAYER", 1_000)
    return Graph


def test_equal_answers_are_equal(graph, monkeypatch):
    monkeypatch.setattr(graph, "says", set(READS.items()))
    found = dependency.compare("resnet_basic")
    assert (found.asked, found.equal, found.same, found.ours, found.theirs) == (1, 1, 2, 0, 0)
    assert not found.why and not found.judged
    assert found.silent["others"] > 10


def test_each_difference_is_named_and_judged(graph, monkeypatch):
    """One slot left out, one that reads a partner (the stem, in the same sum), and one that reads neither."""
    partners, extra = {("conv1", 2)}, {("stages.0.0.conv1", 2), ("fc", 3)}
    monkeypatch.setattr(graph, "says", {("stages.1.0.conv1", 2), *extra})
    monkeypatch.setattr(graph, "partners", partners)
    found = dependency.compare("resnet_basic")
    assert (found.equal, found.same, found.ours, found.theirs) == (0, 1, 1, 2)
    assert found.why == {dependency.MISSED: 1, dependency.PARTNERS: 1, dependency.WRONG: 1}
    assert found.judged == {"asked": 1, "ours": 1, "theirs": 0}
    text = dependency.table([found])
    monkeypatch.setattr(graph, "says", {*READS.items(), ("stages.0.0.conv1", 2)})
    only_partners = dependency.compare("resnet_basic")
    assert only_partners.why == {dependency.PARTNERS: 1} and not only_partners.judged
    assert "for 0 of them" in text and "the wiring for 1 and the graph for 0" in text
    assert {columns(line) for line in text.splitlines()[2:]} == {columns(dependency.HEADER.splitlines()[0])}


def test_a_graph_that_cannot_be_built_says_why(monkeypatch):
    def failing(model: nn.Module, x: Any) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(dependency, "Theirs", failing)
    found = dependency.compare("vgg")
    assert found.failed == "ZeroDivisionError: by zero"
    assert "| vgg | - |" in found.row()


def test_a_graph_that_gives_no_answer_in_time_is_left(graph, monkeypatch):
    monkeypatch.setattr(dependency, "QUERY", 0.05)
    monkeypatch.setattr(graph, "heard", lambda *_: time.sleep(10))
    found = dependency.compare("resnet_basic")
    assert (found.asked, found.silent["Conv2d: TimeoutError"]) == (0, 1)


def test_every_network_has_its_row() -> None:
    _, _, rest = dependency.PAGE.read_text(encoding="utf-8").partition(dependency.BEGIN)
    written = rest.partition(dependency.END)[0]
    for name in dependency.names():
        assert f"| {name} | " in written, name


def test_the_real_graph_agrees_where_nothing_is_shared() -> None:
    pytest.importorskip("torch_pruning")
    found = dependency.compare("vgg")
    assert (found.asked, found.equal) == (12, 12)
