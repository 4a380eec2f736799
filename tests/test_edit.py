"""Edits: what they do, that they end restored to the last bit in any order, and what they refuse beforehand."""

from __future__ import annotations

import copy
import gc
import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

import patchclamp as pc
from patchclamp.errors import AddressError, EditError


def image(model: nn.Module) -> dict[str, bytes]:
    """Every parameter and buffer as the bytes of its whole memory."""
    named = (*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False))
    return {
        name: bytes(torch.empty(0, dtype=torch.uint8).set_(t.detach().untyped_storage()).tolist()) for name, t in named
    }


def small() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5))


def awkward() -> nn.Module:
    """Tied, transposed on one storage, not contiguous, channels last, and of several types."""
    torch.manual_seed(2)
    model = nn.Module()
    model.a = nn.Linear(6, 4)
    model.same = nn.Linear(6, 4)
    model.same.weight = model.a.weight
    model.turned = nn.Linear(4, 6)
    model.turned.weight = nn.Parameter(model.a.weight.detach().t())
    model.part = nn.Linear(6, 2)
    model.part.weight = nn.Parameter(model.a.weight.detach()[1:3])
    model.strided = nn.Linear(3, 4)
    model.strided.weight = nn.Parameter(torch.randn(8, 9)[::2, 1::3])
    model.last = nn.Conv2d(3, 4, 2).to(memory_format=torch.channels_last)
    model.half = nn.Linear(5, 3).half()
    model.brain = nn.Linear(5, 3).bfloat16()
    model.wide = nn.Linear(5, 3).double()
    model.complex = nn.Linear(3, 4, dtype=torch.complex64)
    model.lstm = nn.LSTM(3, 4)
    model.norm = nn.BatchNorm1d(4)
    return model


ADDRESSES = [
    *("a[1]", "a[*]", "a[1:3]", "a[3,0]", "same[2]", "turned[0]", "turned[1:5:2]", "part[1]", "strided[2]"),
    *("strided[*]", "last[1]", "last[:3]", "half[0]", "brain[2]", "wide[1]", "complex[3]", "lstm.forget[2]"),
    *("lstm[1]", "norm[0]", "*[0]", "*e[1]", "s?me[:2]"),
]


def change(edit: pc.Edit, address: str, verb: int, value: float) -> None:
    target = edit[address]
    if verb == 0:
        target.zero()
    elif verb == 1:
        target.scale(value)
    else:
        names = {word for neurons in target.groups for word in neurons.population.words if word.startswith("weight")}
        if all(names <= set(neurons.population.words) for neurons in target.groups):
            (target.set if verb == 2 else target.add)(**dict.fromkeys(names, value))


@given(st.data())
def test_any_edits_that_end_in_any_order_leave_the_same_bytes(data: st.DataObject) -> None:
    model = awkward()
    net, before = pc.open(model), image(model)
    edits: list[pc.Edit] = []
    order: list[pc.Edit] = []
    try:
        for _ in range(data.draw(st.integers(1, 7))):
            if not edits or data.draw(st.booleans()):
                edits.append(net.edit())
            value = data.draw(st.sampled_from([0.0, -0.0, 1.5, math.inf, math.nan, 1e-42]))
            address, verb = data.draw(st.sampled_from(ADDRESSES)), data.draw(st.integers(0, 3))
            change(data.draw(st.sampled_from(edits)), address, verb, value)
            if len(edits) > 1 and data.draw(st.booleans()):
                edits.pop(data.draw(st.integers(0, len(edits) - 1))).restore()
        order = data.draw(st.permutations(edits))
    finally:  # hypothesis gives up on some examples midway
        for edit in order or edits:
            edit.restore()
    assert image(model) == before


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_three_overlapping_edits_end_in_every_order(order: tuple[int, ...]) -> None:
    model = awkward()
    net, before = pc.open(model), image(model)
    edits = [net.edit() for _ in range(3)]
    edits[0]["a[1:3]"].zero()
    edits[1]["turned[*]"].scale(3)
    edits[2]["part[0]"].add(weight=1)
    edits[0]["same[1]"].set(weight=7)
    assert image(model) != before
    for number in order:
        edits[number].restore()
    assert image(model) == before


@given(st.data())
def test_at_any_time_the_youngest_open_edit_is_what_stands(data: st.DataObject) -> None:
    model = nn.Sequential(nn.Linear(1, 6))
    bias = model[0].bias
    net, original = pc.open(model), bias.tolist()
    edits = {number: net.edit() for number in range(4)}
    writes: list[tuple[int, int, int, int]] = []
    try:
        for value in range(data.draw(st.integers(1, 9))):
            number, start = data.draw(st.sampled_from(sorted(edits))), data.draw(st.integers(0, 5))
            stop = data.draw(st.integers(start + 1, 6))
            edits[number][f"0[{start}:{stop}]"].set(bias=value)
            writes.append((number, start, stop, value))
        for number in data.draw(st.permutations(sorted(edits))):
            edits.pop(number).restore()
            expected = list(original)
            for other, start, stop, value in writes:
                if other in edits:
                    expected[start:stop] = [value] * (stop - start)
            assert bias.tolist() == expected
    finally:
        for edit in edits.values():
            edit.restore()


@given(st.data())
def test_scattered_neurons_go_back_element_by_element_in_any_order(data: st.DataObject) -> None:
    """Scattered rows are written in one call; where edits meet, the youngest that is open stands at each element."""
    model = nn.Sequential(nn.Linear(1, 6))
    layer = model[0]
    net, original = pc.open(model), layer.bias.tolist()
    edits = {number: net.edit() for number in range(3)}
    writes: list[tuple[int, list[int], float]] = []
    subsets = st.lists(st.integers(0, 5), min_size=1, max_size=5)
    try:
        for value in range(1, data.draw(st.integers(2, 8))):
            number, rows = data.draw(st.sampled_from(sorted(edits))), data.draw(subsets)
            zero = data.draw(st.booleans())
            chosen = edits[number][f"0[{','.join(map(str, rows))}]"]
            chosen.zero() if zero else chosen.set(bias=value)
            writes.append((number, rows, 0.0 if zero else value))
        for number in data.draw(st.permutations(sorted(edits))):
            edits.pop(number).restore()
            expected = list(original)
            for other, rows, value in writes:
                for row in rows if other in edits else ():
                    expected[row] = value
            assert layer.bias.tolist() == expected
    finally:
        for edit in edits.values():
            edit.restore()


@pytest.mark.parametrize("address", ["0[0,2]", "1[0,3]", "2[1,4,5]", "3[5,0,5]", "4[0,2]"])
@pytest.mark.parametrize("verb", ["zero", "scale"])
def test_scattered_neurons_of_every_layout_change_alone(address: str, verb: str) -> None:
    """The witness is one neuron at a time."""
    layers = (nn.Linear(3, 4), nn.Conv2d(2, 4, 1, groups=2), nn.ConvTranspose2d(4, 6, 2, groups=2), nn.LSTM(2, 6))
    model = nn.Sequential(*layers, nn.Embedding(5, 4))
    other = copy.deepcopy(model)
    net, witness, before = pc.open(model), pc.open(other), image(model)
    with net.edit() as edit, witness.edit() as one:
        chosen = edit[address]
        chosen.zero() if verb == "zero" else chosen.scale(3)
        numbers = dict.fromkeys(map(int, address[2:-1].split(",")))
        for number in numbers:
            alone = one[f"{address[0]}[{number}]"]
            alone.zero() if verb == "zero" else alone.scale(3)
        assert image(model) == image(other) != before
    assert image(model) == before


@pytest.mark.parametrize(
    "name", ["float8_e4m3fn", "float8_e5m2", "bfloat16", "float16", "float32", "float64", "complex64"]
)
@pytest.mark.parametrize("verb", ["zero", "scale"])
def test_scattered_neurons_of_every_type(name: str, verb: str) -> None:
    dtype = getattr(torch, name)
    layer = nn.Linear(3, 6, bias=False)
    bits = torch.randint(0, 256, (18 * dtype.itemsize,), dtype=torch.uint8).view(dtype)  # NaNs and all
    layer.weight = nn.Parameter(bits.reshape(6, 3), requires_grad=False)
    net, before = pc.open(nn.Sequential(layer)), image(layer)
    rows = [before["weight"][i : i + 3 * dtype.itemsize] for i in range(0, 18 * dtype.itemsize, 3 * dtype.itemsize)]
    with torch.device("meta"), net.edit() as edit:
        chosen = edit["0[0,1,4]"]
        chosen.zero() if verb == "zero" else chosen.scale(2)
        after = layer.weight.detach().clone().view(torch.uint8)
    if verb == "zero":
        assert not after[[0, 1, 4]].any()
    for row in (2, 3, 5):
        assert bytes(after[row].tolist()) == rows[row]
    assert image(layer) == before


def test_an_edit_that_ends_first_leaves_the_others_change_standing() -> None:
    model = small()
    net, bias = pc.open(model), model[3].bias
    was = bias.detach().clone()
    first, second = net.edit(), net.edit()
    first["3[:3]"].set(bias=10)
    second["3[2:]"].set(bias=20)
    first.restore()
    assert bias.tolist() == [*was[:2].tolist(), 20, 20, 20]
    second.restore()
    assert torch.equal(bias, was)


def test_an_older_edit_puts_back_what_it_found_even_after_a_younger_one_was_kept() -> None:
    model = small()
    net, was = pc.open(model), model[3].bias[0].item()
    with net.edit() as outer:
        outer["3[0]"].set(bias=1)
        with net.edit() as inner:
            inner["3[0:2]"].set(bias=2)
            inner.keep()
        assert model[3].bias[:2].tolist() == [2, 2]
    assert model[3].bias[0].item() == was
    assert model[3].bias[1].item() == 2


def test_a_kept_edit_stays_and_is_what_a_younger_one_goes_back_to() -> None:
    model = small()
    net = pc.open(model)
    old, young = net.edit(), net.edit()
    old["3[0]"].set(bias=1)
    young["3[0]"].set(bias=2)
    old.keep()
    old.restore()
    assert model[3].bias[0].item() == 2
    young.restore()
    assert model[3].bias[0].item() == 1


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_restored_after_an_exception(error: type[BaseException]) -> None:
    model = small()
    net, before = pc.open(model), image(model)
    with pytest.raises(error), net.edit() as edit:  # noqa: PT012
        edit["0[1]"].zero()
        raise error
    assert image(model) == before


@pytest.mark.parametrize("at", range(6))
def test_an_interrupt_inside_the_write_loop(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from patchclamp.frameworks.torch.editing import TorchLedger

    model = small()
    net, before = pc.open(model), image(model)
    write, count = TorchLedger.change, itertools.count()

    def interrupted(self: TorchLedger, *given: object) -> None:
        if next(count) == at:
            raise KeyboardInterrupt
        write(self, *given)

    monkeypatch.setattr(TorchLedger, "change", interrupted)
    with net.edit() as edit:
        with pytest.raises(KeyboardInterrupt):
            edit["3[0,2,4]"].set(weight=0.0, bias=0.0)
        assert image(model) == before  # all of a change or none of it, even before the edit ends
    assert image(model) == before


@pytest.mark.parametrize("at", range(6))
@pytest.mark.parametrize("late", [False, True])
def test_an_interrupt_inside_the_restore_loop(at: int, late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from patchclamp.frameworks.torch import editing

    model = small()
    net, before = pc.open(model), image(model)
    put_back, count = editing._put_back, itertools.count()

    def interrupted(*given: object) -> None:
        number = next(count)
        if number == at and not late:
            raise KeyboardInterrupt
        put_back(*given)
        if number == at:
            raise KeyboardInterrupt

    monkeypatch.setattr(editing, "_put_back", interrupted)
    with pytest.raises(KeyboardInterrupt), net.edit() as edit:
        edit["3[0,2,4]"].set(weight=0.0, bias=0.0)
    assert image(model) == before


def test_one_change_that_cannot_be_put_back_does_not_keep_the_others_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small()
    net, was = pc.open(model), model[3].bias.detach().clone()
    with pytest.raises(EditError, match="replaced"), net.edit() as edit:  # noqa: PT012
        edit["3[0]"].zero()
        edit["0[0]"].zero()
        model[0].bias = nn.Parameter(torch.zeros(9))
    assert torch.equal(model[3].bias, was)


SPECIAL = {
    torch.float32: [0x7F800001, 0xFFC12345, 0x80000000, 0x7F800000, 0x00000001, 0x807FFFFF],
    torch.float16: [0x7C01, 0xFE12, 0x8000, 0x7C00, 0x0001, 0x83FF],
    torch.bfloat16: [0x7F81, 0xFFC1, 0x8000, 0x7F80, 0x0001, 0x807F],
    torch.float64: [0x7FF0000000000001, 0xFFF8000012345678, 1 << 63, 0x7FF0000000000000, 1, (1 << 63) + 1],
}


@pytest.mark.parametrize("dtype", list(SPECIAL))
@pytest.mark.parametrize("nested", [False, True])
def test_nan_payloads_negative_zero_infinities_and_subnormals_come_back(dtype: torch.dtype, nested: bool) -> None:
    bits = SPECIAL[dtype]
    size = dtype.itemsize
    raw = b"".join(value.to_bytes(size, "little") for value in bits)
    layer = nn.Linear(3, 2, dtype=dtype)
    with torch.no_grad():
        layer.weight.copy_(torch.frombuffer(bytearray(raw), dtype=dtype).reshape(2, 3))
    net, before = pc.open(nn.Sequential(layer)), image(layer)
    assert before["weight"] == raw
    outer, inner = net.edit(), net.edit()
    outer["0[*]"].scale(2)
    if nested:
        inner["0[1]"].zero()
    outer.restore()
    inner.restore()
    assert image(layer) == before


def test_the_verbs() -> None:
    model = small()
    net, layer = pc.open(model), model[3]
    w, b = layer.weight.detach().clone(), layer.bias.detach().clone()
    with net.edit() as edit:
        change = edit["3[1]"].scale(-2).add(bias=0.5)
        assert torch.equal(layer.weight[1], w[1] * -2)
        assert torch.equal(layer.bias[1], b[1] * -2 + 0.5)
        assert torch.equal(layer.weight[0], w[0])
        change.set(weight=np.arange(16.0), bias=3)
        assert layer.weight[1].tolist() == list(range(16))
        edit["3[2:4]"].set(weight=torch.ones(2, 16) * torch.tensor([[5.0], [6.0]]), bias=[7, 8])
        assert layer.weight[2:4, 0].tolist() == [5, 6]
        assert layer.bias[2:4].tolist() == [7, 8]
        edit["3[4,0]"].set(bias=[1, 2])
        assert layer.bias.tolist()[0] == 2
        assert layer.bias.tolist()[4] == 1
        edit["*[*]"].zero()
        assert not layer.weight.any()
        assert not model[0].weight.any()
    assert torch.equal(layer.weight, w)
    assert torch.equal(layer.bias, b)


def test_python_numbers_are_rounded_once_to_the_arrays_own_type() -> None:
    layer = nn.Linear(2, 2).double()
    with pc.open(nn.Sequential(layer)).edit() as edit:
        edit["0[0]"].set(weight=[0.1, 0.2], bias=0.3)
        assert layer.weight[0].tolist() == [0.1, 0.2]
        assert layer.bias[0].item() == 0.3
        edit["0[0]"].add(bias=0.1)
        assert layer.bias[0].item() == 0.3 + 0.1


def test_one_gate_of_an_lstm_unit() -> None:
    model = nn.ModuleDict({"lstm": nn.LSTM(3, 12)})
    bias = model["lstm"].bias_ih_l0
    before = bias.detach().clone()
    with pc.open(model).edit() as edit:
        edit["lstm.forget[7]"].add(bias_ih=1)
        assert torch.nonzero(bias - before).flatten().tolist() == [12 + 7]
        assert torch.equal(bias[19], before[19] + 1)
        with pytest.raises(EditError, match="2 bias arrays: bias_ih, bias_hh"):
            edit["lstm.forget[7]"].add(bias=1)
    assert torch.equal(bias, before)


def test_statistics_stay_when_a_norm_is_zeroed_and_can_be_set_by_name() -> None:
    model = small()
    norm = model[1]
    norm.running_mean.fill_(3)
    with pc.open(model).edit() as edit:
        edit["1[*]"].zero()
        edit["1[2]"].scale(5)
        assert not norm.weight.any()
        assert norm.running_mean.tolist() == [3] * 4
        assert norm.running_var.tolist() == [1] * 4
        edit["1[2]"].set(running_mean=8)
        assert norm.running_mean.tolist() == [3, 3, 8, 3]
    assert norm.running_mean.tolist() == [3] * 4


def test_a_norm_with_nothing_but_statistics_is_not_zeroed() -> None:
    model = nn.Sequential(nn.BatchNorm1d(4, affine=False))
    with pc.open(model).edit() as edit, pytest.raises(EditError, match="no weights or biases"):
        edit["0[1]"].zero()


def test_an_edit_through_one_name_of_a_tied_array_changes_all_and_says_so() -> None:
    model = awkward()
    with pc.open(model).edit() as edit:
        done = edit["same[1]"].set(weight=9)
        assert done.tied == ("a.weight", "turned.weight", "part.weight")
        assert model.a.weight[1].tolist() == [9] * 6
        assert model.turned.weight[:, 1].tolist() == [9] * 6
        assert model.part.weight[0].tolist() == [9] * 6
        assert edit["wide[0]"].tied == ()


BAD = [
    ("0[1]", {"weigth": 0}, "no array 'weigth'"),
    ("0[1]", {"weight": np.zeros(3)}, r"shape \(2, 3, 3\) here, not \(3,\)"),
    ("0[1]", {"weight": 1j}, "cannot hold"),
    ("0[1]", {"weight": "a"}, "takes numbers, not"),
    ("0[1]", {"weight": [[1, 2], [3]]}, "cannot read the values"),
    ("0[1]", {"weight": torch.zeros(2, 3, 3, device="meta")}, "no plain numbers"),
    ("0[1]", {"bias": 0, "weight": None}, "takes numbers, not"),
    ("0[:3]", {"bias": [1, 2]}, "not"),
    ("*[0]", {"weight": np.zeros(16)}, "takes values of shape"),
    ("3[0]", {"bias": 1, "running_mean": 2}, "no array 'running_mean'"),
    ("0[1]", {}, "no array was given"),
]


@pytest.mark.parametrize(("address", "arrays", "says"), BAD)
@pytest.mark.parametrize("verb", ["set", "add"])
def test_a_change_that_does_not_fit_is_refused_before_anything_is_touched(
    verb: str, address: str, arrays: dict[str, object], says: str
) -> None:
    model = small()
    before = image(model)
    versions = [p._version for p in model.parameters()]
    with pc.open(model).edit() as edit:
        with pytest.raises(EditError, match=says):
            getattr(edit[address], verb)(**arrays)
        assert image(model) == before
        assert [p._version for p in model.parameters()] == versions


@pytest.mark.parametrize("factor", [[1, 2], "two", None, 1j, torch.ones(2)])
def test_a_factor_is_one_real_number(factor: object) -> None:
    model = small()
    before = image(model)
    with pc.open(model).edit() as edit:
        with pytest.raises(EditError):
            edit["0[1]"].scale(factor)  # type: ignore[arg-type]
        assert image(model) == before


def test_integers_that_do_not_fit_are_refused() -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weight", torch.arange(6, dtype=torch.uint8).reshape(2, 3))

    pc.register(Table, weight="neuron in")
    try:
        model = nn.Sequential(Table())
        with pc.open(model).edit() as edit:
            for value in (0.5, 300, -1):
                with pytest.raises(EditError, match="cannot hold"):
                    edit["0[1]"].set(weight=value)
            edit["0[1]"].zero()  # a layer whose weights are buffers has weights all the same
            assert model[0].weight.tolist() == [[0, 1, 2], [0, 0, 0]]
    finally:
        pc.forget(Table)


def test_eight_bit_floats() -> None:
    layer = nn.Linear(3, 2, bias=False)
    layer.weight = nn.Parameter(torch.tensor([[1.0, 2, 3], [4, 5, 6]]).to(torch.float8_e4m3fn), requires_grad=False)
    before = image(layer)
    with pc.open(nn.Sequential(layer)).edit() as edit:
        edit["0[1]"].scale(0.5).add(weight=1)
        assert layer.weight[1].float().tolist() == [3, 3.5, 4]
    assert image(layer) == before


def test_an_edit_that_is_let_go_is_put_back_with_a_warning() -> None:
    model = small()
    net, before = pc.open(model), image(model)
    with pytest.warns(ResourceWarning, match=r"neither keep\(\) nor restore\(\)"):  # noqa: PT031
        net.edit()["3[0]"].zero()
        gc.collect()
    assert image(model) == before
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for end in ("keep", "restore"):
            edit = net.edit()
            edit["3[0]"].zero()
            getattr(edit, end)()
            del edit
            gc.collect()
    assert not model[3].weight[0].any()


def test_a_position_of_a_filter_is_refused_with_a_hint() -> None:
    with pc.open(small()).edit() as edit:
        with pytest.raises(AddressError, match=r"serve every position\n.*0\[3\].*untie_bias"):
            edit["0[3]@1,2"]
        with pytest.raises(AddressError, match="serve every position"):
            edit["3[3]@1"]
    with pytest.raises(AddressError, match="serve every position"):
        pc.open(small())["0[3]@1,2"].freeze()


def test_backward_through_a_graph_from_before_the_edit_raises() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    for ended in (False, True):
        loss = model(torch.ones(1, 3)).sum()
        with pc.open(model).edit() as edit:
            edit["1[0]"].zero()
            if not ended:
                with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                    loss.backward()
        if ended:
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                loss.backward()


def test_backward_after_an_edit_in_inference_mode_raises() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    loss = model(torch.ones(1, 3)).sum()
    with torch.inference_mode(), pc.open(model).edit() as edit:
        edit["1[0]"].zero()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_gradients_flow_to_the_edited_weights_and_are_left_alone() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    with pc.open(model).edit() as edit:
        edit["0[0]"].set(weight=[1, 2, 3])
        model(torch.ones(1, 3)).sum().backward()
        grad = model[0].weight.grad
        assert grad is not None
    assert model[0].weight.grad is grad
    assert grad.tolist() == [[1] * 3] * 2


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_under_any_gradient_mode_and_default_device(mode: type) -> None:
    model = awkward()
    net, before = pc.open(model), image(model)
    with mode(), torch.device("meta"):
        one, two = net.edit(), net.edit()
        one["a[1:3]"].set(weight=1)
        two["turned[*]"].zero()
    one.restore()
    with mode():
        two.restore()
    assert image(model) == before


def test_a_model_that_was_moved_while_edited_is_restored_where_it_is_now() -> None:
    model = small()
    net, was = pc.open(model), model[3].weight.detach().clone()
    with net.edit() as edit:
        edit["3[0]"].zero()
        model.double()
    assert torch.equal(model[3].weight, was.double())
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with net.edit() as edit:
        edit["3[0]"].zero()
        model.load_state_dict(state, assign=True)
    assert torch.equal(model[3].weight, was.double())


def _expanded(model: nn.Module) -> None:
    model[0].weight = nn.Parameter(torch.ones(1, 3).expand(2, 3))


def _overlapping(model: nn.Module) -> None:
    model[0].weight = nn.Parameter(torch.as_strided(torch.arange(4.0), (2, 3), (1, 1)))


def _inference(model: nn.Module) -> None:
    with torch.inference_mode():
        model[0].weight = nn.Parameter(torch.ones(2, 3), requires_grad=False)


def _meta(model: nn.Module) -> None:
    model.to("meta")


def _weight_norm(model: nn.Module) -> None:
    nn.utils.parametrizations.weight_norm(model[0])


def _old_weight_norm(model: nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(model[0])


def _spectral_norm(model: nn.Module) -> None:
    nn.utils.parametrizations.spectral_norm(model[0])


def _old_spectral_norm(model: nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.spectral_norm(model[0])


def _orthogonal(model: nn.Module) -> None:
    nn.utils.parametrizations.orthogonal(model[0])


def _pruned(model: nn.Module) -> None:
    prune.l1_unstructured(model[0], "weight", amount=0.5)


def _pruned_bias(model: nn.Module) -> None:
    prune.l1_unstructured(model[0], "bias", amount=0.5)


def _sparse(model: nn.Module) -> None:
    model[0].weight = nn.Parameter(torch.eye(2, 3).to_sparse(), requires_grad=False)


def _conjugate(model: nn.Module) -> None:
    model[0].weight = nn.Parameter(torch.ones(2, 3, dtype=torch.complex64).conj(), requires_grad=False)


class Wrapped(torch.Tensor):
    pass


def _subclass(model: nn.Module) -> None:
    model[0].weight = nn.Parameter(torch.ones(2, 3).as_subclass(Wrapped))


def _quantized(model: nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = torch.quantize_per_tensor(torch.ones(2, 3), 0.1, 0, torch.qint8)
        model[0].weight = nn.Parameter(value, requires_grad=False)


REFUSED = {
    _expanded: "expanded",
    _overlapping: "expanded",
    _inference: "inference tensor",
    _meta: "meta device",
    _weight_norm: "computed",
    _old_weight_norm: "computed",
    _spectral_norm: "computed",
    _old_spectral_norm: "computed",
    _orthogonal: "computed",
    _pruned: "computed",
    _pruned_bias: "computed",
    _sparse: "sparse",
    _conjugate: "conjugate",
    _subclass: "Wrapped",
    _quantized: "quantised|quantized|QInt8|qint8",
}


@pytest.mark.parametrize("spoil", list(REFUSED), ids=lambda f: f.__name__)
@pytest.mark.parametrize("act", ["zero", "freeze"])
def test_weights_that_an_edit_could_not_hold_are_refused(spoil: object, act: str) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    spoil(model)  # type: ignore[operator]
    net = pc.open(model)
    before = [(id(p), p._version if not p.is_inference() else 0) for p in model.parameters()]
    with pytest.raises(EditError, match=REFUSED[spoil]):  # type: ignore[index]  # noqa: PT012
        if act == "freeze":
            net["0[0]"].freeze()
        else:
            with net.edit() as edit:
                edit["0[0]"].zero()
    assert [(id(p), p._version if not p.is_inference() else 0) for p in model.parameters()] == before


def test_a_bias_beside_a_computed_weight_can_be_set() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    _spectral_norm(model)
    with pc.open(model).edit() as edit:
        edit["0[1]"].set(bias=4)
        assert model[0].bias[1].item() == 4


def test_an_array_that_has_gone_since_the_network_was_opened() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    net = pc.open(model)
    model[0].weight = None
    with net.edit() as edit, pytest.raises(EditError, match="no parameter or buffer of the layer any more"):
        edit["0[0]"].zero()
    with pytest.raises(pc.PatchclampError, match="not there any more"):
        _ = net["0[0]"].arrays


def test_within_torch_func_the_real_weights_are_safe() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    net, before = pc.open(model), image(model)
    seen: list[str] = []

    def loss(parameters: dict[str, torch.Tensor]) -> torch.Tensor:
        def hook(*_: object) -> None:
            with pytest.raises(EditError, match=r"torch\.func|Parameter|Tensor") as info, net.edit() as edit:
                edit["0[0]"].zero()
            seen.append(str(info.value))

        handle = model[0].register_forward_pre_hook(hook)
        try:
            return torch.func.functional_call(model, parameters, (torch.ones(3),)).sum()
        finally:
            handle.remove()

    torch.func.grad(loss)({name: p.detach() for name, p in model.named_parameters()})
    assert seen
    assert image(model) == before
