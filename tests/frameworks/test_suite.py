"""FrameworkSuite on one network in seven forms, and on adapters made to break its promises one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import patchclamp as pc
from patchclamp.testing import FrameworkFailure, check_framework

pytest.importorskip("torch")

import same_network as same
import torch

FORMS = {
    "torch": ("torch", ()),
    "keras": ("keras", (".keras", ".weights.h5")),
    "nnx": ("flax", ()),
    "linen": ("flax", (".msgpack",)),
    "equinox": ("equinox", ()),
    "onnx": ("onnxruntime", (".onnx",)),
}
RUN = {"conv1", "conv2", "lstm", "fc"}


@pytest.mark.parametrize("form", FORMS)
def test_every_framework_keeps_its_promises(form: str, tmp_path: Path) -> None:
    needs, own = FORMS[form]
    pytest.importorskip(needs)
    x = same.examples()
    network = same.in_onnx(str(tmp_path / "digits.onnx")) if form == "onnx" else getattr(same, f"in_{form}")()
    before = Path(network).read_bytes() if form == "onnx" else b""
    report = check_framework(network, x[0] if form == "equinox" else x, own=own)
    assert form != "onnx" or Path(network).read_bytes() == before
    assert {name.removeprefix("params.") for name in report.checked} >= RUN
    assert not report.silent and report.compared > 1000


class Broken:
    """A torch network whose adapter is made to break a promise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
        self.monkeypatch = monkeypatch

    def wrap(self, owner: Any, name: str, around: Any) -> None:
        kept = getattr(owner, name)
        self.monkeypatch.setattr(owner, name, lambda *given, **named: around(kept, *given, **named))


def _leaves_a_trace(broken: Broken) -> None:
    from patchclamp.frameworks.torch.runner import TorchRunner

    def around(kept: Any, runner: Any, *given: Any) -> None:
        kept(runner, *given)
        runner.model[0].seen = True

    broken.wrap(TorchRunner, "tap", around)


def _restores_a_little_less(broken: Broken) -> None:
    from patchclamp.frameworks.torch.editing import TorchLedger

    def around(kept: Any, ledger: Any, mark: int = 0) -> None:
        first = ledger.records[0].array if ledger.records else None
        kept(ledger, mark)
        if first is not None:
            first.storage.tensor().data.add_(1e-7)

    broken.wrap(TorchLedger, "undo", around)


def _records_another_row(broken: Broken) -> None:
    from patchclamp.frameworks.torch.runner import TorchRunner

    broken.wrap(TorchRunner, "stack", lambda kept, runner, values: kept(runner, list(values)[::-1]))


def _saves_other_numbers(broken: Broken) -> None:
    from patchclamp.frameworks.torch.keeping import TorchKeeper

    def around(kept: Any, keeper: Any, *given: Any) -> Any:
        entries, ties = kept(keeper, *given)
        blank = [(n, d, s, lambda c=chunks: [bytes(len(b)) for b in map(bytes, c())]) for n, d, s, chunks in entries]
        return blank, ties

    broken.wrap(TorchKeeper, "state", around)


def _takes_any_input(broken: Broken) -> None:
    from patchclamp.frameworks.torch.runner import TorchRunner

    def around(kept: Any, runner: Any, probes: Any, x: Any) -> None:
        kept(runner, probes, torch.ones(2, 4) if isinstance(x, dict) else x)

    broken.wrap(TorchRunner, "tap", around)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (_leaves_a_trace, "left behind"),
        (_restores_a_little_less, "not restored bit for bit"),
        (_records_another_row, "recorded alone is not its row|DOES NOT HOLD"),
        (_saves_other_numbers, "saved as safetensors"),
        (_takes_any_input, "no error"),
    ],
)
def test_a_broken_promise_is_noticed(fault: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Broken(monkeypatch)
    assert check_framework(broken.network, torch.ones(2, 4)).checked == ["0", "2"]
    fault(broken)
    with pytest.raises(FrameworkFailure, match=said):
        check_framework(broken.network, torch.ones(2, 4))


def test_numbers_that_no_kind_accounts_for_are_named() -> None:
    class Own(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mystery = torch.nn.Parameter(torch.ones(3, 3))

        def forward(self, x: Any) -> Any:
            return x @ self.mystery

    with pytest.raises(FrameworkFailure, match="mystery"):
        check_framework(Own(), torch.ones(2, 3))
    pc.register(Own, mystery="in neuron")
    try:
        assert check_framework(Own(), torch.ones(2, 3), file=False).checked == [""]
    finally:
        from patchclamp.kinds import forget

        forget(Own)
