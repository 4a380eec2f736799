"""Quantised layers read as real numbers. The witnesses: torch's own dequantisation of everything, and its run."""

from __future__ import annotations

import copy
import gc
import warnings
import weakref

import pytest
import torch
from torch import nn

import patchclamp as pc
from patchclamp.capture import Capture, run
from patchclamp.testing import Footprint, check_kind
from patchclamp.verify import verify

# torch.ao says at every step that it is deprecated; it is still what many files and devices run on.
pytestmark = [
    pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated"),
    pytest.mark.filterwarnings("ignore:Please use quant_min and quant_max"),
    pytest.mark.filterwarnings("ignore:must run observer before calling calculate_qparams"),
    pytest.mark.filterwarnings("ignore:TypedStorage is deprecated"),
    pytest.mark.filterwarnings("ignore:Currently, qnnpack incorrectly ignores reduce_range"),
    pytest.mark.filterwarnings("ignore:The current implementation of the DynamicQuantizedConv"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor, torch.quantize_per_channel"),
]
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch.ao.nn.quantized as nnq
    import torch.ao.nn.quantized.dynamic as nnqd
    import torch.ao.nn.quantized.reference as nnqr
    import torch.ao.quantization as ao

ENGINES = [
    name for name in ("x86", "fbgemm", "onednn", "qnnpack") if name in torch.backends.quantized.supported_engines
]
KEYS = [(3,), (slice(None), 4), (slice(2, 9, 2),), (3, 5), (slice(0, 6, 3), slice(1, 7, 3)), (slice(1, 1),), (-1,)]


@pytest.fixture(autouse=True)
def engine():
    """Each test starts from the same numbers and leaves the engine as it was."""
    before = torch.backends.quantized.engine
    torch.manual_seed(0)
    yield
    torch.backends.quantized.engine = before


def dynamic(module, dtype=torch.qint8, config=None):
    kinds = {type(part) for part in module}
    return ao.quantize_dynamic(module, dict.fromkeys(kinds, config) if config else kinds, dtype=dtype)


def static(parts, x, fuse=None, config=None):
    """A network converted by torch.ao, calibrated on x; its layers are 1, 2, ..."""
    module = nn.Sequential(ao.QuantStub(), *parts, ao.DeQuantStub()).eval()
    if fuse:
        module = ao.fuse_modules(module, fuse)
    module.qconfig = config or ao.get_default_qconfig(torch.backends.quantized.engine)
    prepared = ao.prepare(module)
    prepared(x)
    return ao.convert(prepared)


def array(net, name, layer=""):
    return next(a for a in net.model.layers[layer].arrays if a.name == name)


def is_decoded(net, name, whole, layer=""):
    """Whole, by row, column, step and corner: the same bits as the framework's own."""
    found = array(net, name, layer)
    assert found.shape == tuple(whole.shape)
    assert torch.equal(found.read(), whole)
    for key in KEYS:
        if all(not isinstance(index, int) or index < size for index, size in zip(key, whole.shape, strict=False)):
            assert torch.equal(found.read(key), whole[key]), key
    return found


# torch.ao, dynamic


@pytest.mark.parametrize("config", [ao.default_dynamic_qconfig, ao.per_channel_dynamic_qconfig], ids=["one", "each"])
@pytest.mark.parametrize("name", ENGINES)
def test_dynamic_linear(name, config):
    torch.backends.quantized.engine = name
    model, x = dynamic(nn.Sequential(nn.Linear(40, 9), nn.Linear(9, 4)), config=config), torch.randn(2, 5, 40)
    net, weight = pc.open(model), model[0].weight()
    is_decoded(net, "weight", weight.dequantize(), "0")
    assert torch.equal(net["0[3]"].weight, weight.dequantize()[3])
    assert torch.equal(net["0[3]"].bias, model[0].bias()[3])
    assert net["0[3]"].fan_in == 40
    report = check_kind(model, x, "0")
    assert report.edited == 0
    assert report.excess < 0.5
    assert "rounded to 8 bits as the framework does it" in net["0"].verify(x).reason


def test_half_precision_linear():
    torch.backends.quantized.engine = "fbgemm"
    model = dynamic(nn.Sequential(nn.Linear(40, 9)), torch.float16)
    net = pc.open(model)
    assert is_decoded(net, "weight", model[0].weight(), "0").dtype == "float16"
    check_kind(model, torch.randn(3, 40), "0")


def test_steps_are_named():
    each = dynamic(nn.Sequential(nn.Linear(8, 5)), config=ao.per_channel_dynamic_qconfig)
    net, weight = pc.open(each), each[0].weight()
    assert torch.equal(net["0[2]"].arrays["q_scale"], weight.q_per_channel_scales()[2])
    assert "stored as qint8 with 5 scales" in net["0"].explain()
    one = pc.open(dynamic(nn.Sequential(nn.Linear(8, 5))))
    statuses = {entry.path: entry.status for entry in one.accounting().entries}
    assert statuses["0.q_scale_shared"] not in ("neuron", "unknown")
    assert one.accounting().complete
    assert "weight (qint8): neuron 5, in 8" in str(one)


def test_counts_are_those_of_the_network_it_was_made_from():
    plain = nn.Sequential(nn.Linear(12, 8), nn.Linear(8, 3), nn.LSTM(3, 4, 2))
    made = ao.quantize_dynamic(plain, {nn.Linear, nn.LSTM})
    a, b = pc.open(plain), pc.open(made)
    assert [(row.neurons, row.fan_in, row.parameters) for row in a.count().layers] == [
        (row.neurons, row.fan_in, row.parameters) for row in b.count().layers
    ]
    assert b.accounting().total() == sum(p.numel() for p in plain.parameters())


@pytest.mark.parametrize("dtype", [torch.qint8, torch.float16], ids=str)
@pytest.mark.parametrize("cls", [nn.LSTM, nn.GRU, nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_dynamic_recurrent(cls, dtype):
    torch.backends.quantized.engine = "fbgemm"
    stack = not cls.__name__.endswith("Cell")
    layer = cls(5, 4, 2, bidirectional=True) if stack else cls(5, 4)
    model = dynamic(nn.Sequential(layer).eval(), dtype)
    net = pc.open(model)
    for name, weight in model[0].get_weight().items():
        is_decoded(net, name, weight.dequantize() if weight.is_quantized else weight, "0")
    assert check_kind(model, torch.randn(6, 3, 5) if stack else torch.randn(3, 5), "0").excess < 0.6


def test_gates_of_a_quantised_lstm():
    model = dynamic(nn.Sequential(nn.LSTM(5, 4)).eval())
    gate = pc.open(model)["0.forget[2]"]
    assert torch.equal(gate.arrays["weight_ih"], model[0].get_weight()["weight_ih_l0"].dequantize()[4 + 2])
    assert gate.record(torch.randn(3, 2, 5)).output.shape == (3, 2)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_dynamic_conv(rank):
    torch.backends.quantized.engine = "fbgemm"
    plain = getattr(nn, f"Conv{rank}d")(4, 6, 3, padding=1)
    plain.qconfig = ao.default_dynamic_qconfig
    made, x = getattr(nnqd, f"Conv{rank}d").from_float(plain), torch.randn(2, 4, *([6] * rank))
    is_decoded(pc.open(made), "weight", made.weight().dequantize())
    check_kind(made, x)


# torch.ao, static


@pytest.mark.parametrize("name", ENGINES)
def test_static_linear(name):
    torch.backends.quantized.engine = name
    x = torch.randn(7, 20)
    model = static([nn.Linear(20, 6), nn.ReLU(), nn.Linear(6, 3)], x, [["1", "2"]])
    for layer in ("1", "3"):
        is_decoded(pc.open(model), "weight", model.get_submodule(layer).weight().dequantize(), layer)
        check_kind(model, x, layer)
    recorded = pc.open(model)["3[1]"].record(x)
    assert torch.equal(recorded.output.dequantize(), model(x)[:, 1])


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_static_conv(rank, transposed):
    torch.backends.quantized.engine = "fbgemm"
    x = torch.randn(2, 4, *([7] * rank))
    cls = getattr(nn, f"Conv{'Transpose' if transposed else ''}{rank}d")
    parts = [cls(4, 6, 3, stride=2, padding=1, groups=2), nn.ReLU()]
    whole = ao.QConfig(activation=ao.default_observer, weight=ao.default_weight_observer)
    model = static(parts, x, None if transposed else [["1", "2"]], whole if transposed else None)
    net, weight = pc.open(model), model[1].weight().dequantize()
    is_decoded(net, "weight", weight, "1")
    assert torch.equal(net["1[4]"].weight, weight[2:4, 1] if transposed else weight[4])
    check_kind(model, x, "1")
    assert net["1[4]@" + ",".join("2" * rank)].verify(x)


NORMS = {
    "layer": (lambda: nn.LayerNorm(8), (3, 8)),
    "group": (lambda: nn.GroupNorm(2, 4), (2, 4, 5, 5)),
    "instance": (lambda: nn.InstanceNorm2d(4, affine=True), (2, 4, 5, 5)),
    "batch": (lambda: nn.BatchNorm2d(4), (2, 4, 5, 5)),
}


@pytest.mark.parametrize("norm", NORMS)
def test_static_norms(norm):
    make, shape = NORMS[norm]
    x = torch.randn(shape)
    check_kind(static([make()], x), x, "1")


@pytest.mark.parametrize("config", [ao.float_qparams_weight_only_qconfig, ao.float_qparams_weight_only_qconfig_4bit])
def test_tables(config):
    plain = nn.EmbeddingBag(30, 8, mode="sum", include_last_offset=True)
    plain.qconfig = config
    bag = nnq.EmbeddingBag.from_float(plain)
    is_decoded(pc.open(bag), "weight", bag.weight().dequantize())
    check_kind(bag, (torch.randint(0, 30, (9,)), torch.tensor([0, 4, 9])))
    table = nn.Embedding(30, 8)
    table.qconfig = config
    made = nnq.Embedding.from_float(table)
    is_decoded(pc.open(made), "weight", made.weight().dequantize())
    if config is ao.float_qparams_weight_only_qconfig:
        check_kind(made, torch.randint(0, 30, (5,)))


# torch.ao, before the conversion


@pytest.mark.parametrize("title", ["Linear", "Conv2d"])
def test_reference_layers_show_the_weight_that_they_use(title):
    plain, x = (
        (nn.Linear(8, 5), torch.randn(3, 8)) if title == "Linear" else (nn.Conv2d(3, 5, 3), torch.randn(2, 3, 6, 6))
    )
    steps = {"scale": torch.rand(5) / 50 + 0.01, "zero_point": torch.zeros(5, dtype=torch.int), "axis": 0}
    made = getattr(nnqr, title).from_float(plain, {"qscheme": torch.per_channel_affine, "dtype": torch.qint8, **steps})
    is_decoded(pc.open(made), "weight", made.get_weight())
    check_kind(made, x)


def test_quantisation_aware_training_shows_the_rounded_weight():
    model = nn.Sequential(nn.Linear(8, 5)).train()
    model.qconfig = ao.get_default_qat_qconfig("x86")
    made = ao.prepare_qat(model)
    made(torch.randn(3, 8))
    made.eval()
    before = copy.deepcopy(made[0].weight_fake_quant.state_dict())
    net = pc.open(made)
    is_decoded(net, "weight", copy.deepcopy(made[0].weight_fake_quant)(made[0].weight).detach(), "0")
    after = made[0].weight_fake_quant.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    with pytest.raises(pc.KindError, match="has no formula"):
        net["0"].verify(torch.randn(3, 8))


# What holds for all of them


def test_a_wrong_weight_is_noticed():
    x = torch.randn(6, 40)
    for model in (dynamic(nn.Sequential(nn.Linear(40, 9))), static([nn.Linear(40, 9)], x)):
        layer = "0" if len(model) == 1 else "1"
        net, packed = pc.open(model), model.get_submodule(layer)
        capture = Capture(net.model.runner, net[layer].info, net[f"{layer}[*]"].neurons, whole_inputs=True)
        run(net.model, {layer: capture}, x)
        assert verify(net.model, net[f"{layer}[*]"].neurons, capture.calls)
        weight, bias = packed._weight_bias()
        codes = weight.int_repr()
        codes[3, 5] += 20 if codes[3, 5] < 100 else -20
        if weight.qscheme() == torch.per_tensor_affine:
            wrong = torch._make_per_tensor_quantized_tensor(codes, weight.q_scale(), weight.q_zero_point())
        else:
            scales, zeros = weight.q_per_channel_scales(), weight.q_per_channel_zero_points()
            wrong = torch._make_per_channel_quantized_tensor(codes, scales, zeros, 0)
        packed.set_weight_bias(wrong, bias)
        check = verify(net.model, net[f"{layer}[*]"].neurons, capture.calls)
        assert not check
        assert check.failed == (f"{layer}[3]",)


def test_what_was_packed_anew_is_read_as_it_is_now():
    model = dynamic(nn.Sequential(nn.Linear(6, 4)))
    net = pc.open(model)
    before = net["0[1]"].weight
    weight, bias = model[0]._weight_bias()
    model[0].set_weight_bias(torch.quantize_per_tensor(-weight.dequantize(), 0.01, 0, torch.qint8), bias)
    assert not torch.equal(net["0[1]"].weight, before)
    assert torch.equal(net["0[1]"].weight, model[0].weight().dequantize()[1])


def test_edits_and_saves_are_refused_before_anything_is_touched(tmp_path):
    model = dynamic(nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2)))
    net, before = pc.open(model), model[0].weight().int_repr()
    for verb in (lambda c: c.zero(), lambda c: c.scale(2.0), lambda c: c.set(bias=0.0)):
        with net.edit() as edit, pytest.raises(pc.EditError, match="is read as real numbers, but not written"):
            verb(edit["0[1]"])
    with pytest.raises(pc.EditError, match="not written"):
        net["0[1]"].freeze()
    with pytest.raises(pc.EditError, match=r"stored as qint8 .* so it cannot be saved"):
        net.save(tmp_path / "out.safetensors")
    assert not list(tmp_path.iterdir())
    assert torch.equal(model[0].weight().int_repr(), before)


def test_nothing_is_left_behind_and_nothing_is_kept_alive():
    model = dynamic(nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2)))
    before, x = Footprint.of(model), torch.randn(3, 6)
    net = pc.open(model)
    net["0[1]"].record(x)
    net["1"].verify(x)
    assert Footprint.of(model) == before
    gone = weakref.ref(model[0])
    del model, net
    gc.collect()
    assert gone() is None


def test_reading_says_nothing_about_torch_giving_quantised_tensors_up():
    model = dynamic(nn.Sequential(nn.Linear(6, 4)))
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            net = pc.open(model)
            assert str(net) and str(net["0[1]"]) and net["0"].arrays
    finally:
        torch.set_warn_always(False)


def test_one_layer_at_a_time_is_held_unpacked():
    from patchclamp.frameworks.torch import unpacked

    model = dynamic(nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2)))
    net = pc.open(model)
    for layer in ("0", "1", "0"):
        assert net[f"{layer}[1]"].weight.numel() == net[f"{layer}[1]"].fan_in
        assert list(unpacked._last) == [model[int(layer)]]


def test_an_engine_that_does_not_give_its_weights_out():
    if "qnnpack" not in ENGINES:
        pytest.skip("needs qnnpack")
    torch.backends.quantized.engine = "qnnpack"
    net = pc.open(static([nn.Conv3d(2, 4, 3)], torch.randn(1, 2, 5, 5, 5)))
    assert net["1"].stored[0].shape == (4, 2, 3, 3, 3)
    with pytest.raises(pc.KindError, match="torch does not give them out: QNNPACK only supports"):
        net["1[2]"].weight  # noqa: B018


class Halves(nn.Linear):
    """Packs two weights in a byte, as nobody else does."""

    def __init__(self):
        super().__init__(8, 6, bias=False)
        self.weight = nn.Parameter(torch.zeros(6, 4, dtype=torch.uint8), requires_grad=False)


class Elsewhere(nn.Linear):
    """Keeps its weights under another name."""

    def __init__(self):
        super().__init__(8, 6)
        del self.weight
        self.weight_packed = nn.Parameter(torch.zeros(6, 1, dtype=torch.int32), requires_grad=False)


def test_codes_are_never_passed_off_as_weights():
    net = pc.open(nn.ModuleDict({"a": Halves(), "b": Elsewhere(), "c": nn.Linear(3, 2)}))
    assert [net[name].known for name in "abc"] == ["unknown", "unknown", "stated"]
    with pytest.raises(pc.KindError, match=r"weight is packed as uint8 \(6, 4\) by .*Halves; not decoded"):
        net["a[3]"].weight  # noqa: B018
    with pytest.raises(pc.KindError, match="no array weight, but weight_packed int32"):
        net["b[3]"].weight  # noqa: B018


def test_the_steps_of_the_output_are_read_as_they_are_now():
    model = static([nn.Linear(6, 4)], torch.randn(3, 6))
    net = pc.open(model)
    before = float(net["1"].arrays["scale"])
    model[1].scale, model[1].zero_point = 2 * before, 7
    assert float(net["1"].arrays["scale"]) == pytest.approx(2 * before)
    assert int(net["1"].arrays["zero_point"]) == 7
