"""Weights that other packages pack. The witnesses: each package's own decoding of everything, and its own run."""

from __future__ import annotations

import functools
import warnings

import pytest
import torch
from torch import nn

import patchclamp as pc
from patchclamp.testing import check_kind

pytestmark = pytest.mark.filterwarnings("ignore")  # what these packages say of themselves, of torch and of each other

IN, OUT = 64, 32
KEYS = [(3,), (slice(None), 4), (slice(2, 9, 2),), (3, 5), (slice(1, 30, 3), slice(2, 40, 3)), (slice(5, 6),)]


@pytest.fixture(autouse=True)
def steady():
    torch.manual_seed(0)


def package(name):
    """A package that is no part of the development environment is looked for only by whoever has it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name)


def holds(model, whole, x=None, layer=""):
    """The decoded weight is the witness, bit for bit and at every key; what must be refused is refused."""
    net = pc.open(model)
    found = next(array for array in net.model.layers[layer].arrays if array.name == "weight")
    assert found.shape == tuple(whole.shape)
    assert torch.equal(found.read(), whole)
    for key in KEYS:
        assert torch.equal(found.read(key), whole[key]), key
    place = (slice(None), 3) if "Embedding" in net[layer].kind else (3,)
    assert torch.equal(net[f"{layer}[3]"].weight, whole[place])
    assert net.accounting().complete
    assert "stored as" in net[layer].explain()
    with net.edit() as edit, pytest.raises(pc.EditError, match="it is read as real numbers, but not written"):
        edit[f"{layer}[3]"].zero()
    with pytest.raises(pc.EditError, match=r"stored as .* so it cannot be saved"):
        net.save("never.safetensors")
    if x is not None:
        assert check_kind(model, x, layer).edited == 0
    return net


def is_noticed(model, other, x, layer=""):
    """The run of one network is not what the weights of another give."""
    from patchclamp.capture import Capture, run
    from patchclamp.verify import verify

    net, wrong = pc.open(model), pc.open(other)
    mine, theirs = net[layer], wrong[layer]
    capture = Capture(wrong.model.runner, theirs.info, wrong[f"{layer}[*]"].neurons, whole_inputs=True)
    run(wrong.model, {layer: capture}, x)
    assert verify(wrong.model, wrong[f"{layer}[*]"].neurons, capture.calls)
    assert not verify(net.model, net[f"{layer}[*]"].neurons, capture.calls), mine


# torchao


def torchao(config, dtype=torch.float32, seed=0):
    quantisation = package("torchao.quantization")
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(IN, OUT)).to(dtype)
    quantisation.quantize_(model, config(quantisation))
    return model


def _int8(ao):
    return ao.Int8WeightOnlyConfig()


def _int8_dynamic(ao):
    return ao.Int8DynamicActivationInt8WeightConfig()


def _float8(ao):
    return ao.Float8WeightOnlyConfig()


def _intx_dynamic(ao):
    return ao.Int8DynamicActivationIntxWeightConfig()


def _bits(count, ao):
    group = ao.granularity.PerGroup(32)
    return ao.IntxWeightOnlyConfig(weight_dtype=getattr(torch, f"int{count}"), granularity=group)


CONFIGS = {
    "int8": _int8,
    "int8 dynamic": _int8_dynamic,
    "float8": _float8,
    "intx dynamic": _intx_dynamic,
    **{f"int{count}": functools.partial(_bits, count) for count in (1, 2, 3, 4, 7)},
}


@pytest.mark.parametrize("config", CONFIGS)
def test_torchao(config):
    model, x = torchao(CONFIGS[config]), torch.randn(5, IN)
    net = holds(model, model[0].weight.dequantize(), x, "0")
    assert net["0"].kind == "torch.nn.Linear"
    if config != "int1":  # of one bit nearly all are the same
        is_noticed(model, torchao(CONFIGS[config], seed=1), x, "0")


@pytest.mark.parametrize("config", ["int8", "float8"])
def test_torchao_in_sixteen_bits(config):
    model = torchao(CONFIGS[config], torch.bfloat16)
    holds(model, model[0].weight.dequantize(), torch.randn(5, IN, dtype=torch.bfloat16), "0")


# bitsandbytes


@pytest.mark.parametrize("threshold", [0.0, 6.0])
def test_eight_bits_of_bitsandbytes(threshold):
    bnb = package("bitsandbytes")
    model = bnb.nn.Linear8bitLt(IN, OUT, has_fp16_weights=False, threshold=threshold).to("cpu").eval()
    whole = bnb.functional.int8_vectorwise_dequant(model.weight.data, model.weight.SCB)
    holds(model, whole, 3 * torch.randn(5, IN))
    holds(model, whole)  # its first run moves the scales elsewhere


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("code", ["nf4", "fp4"])
def test_four_bits_of_bitsandbytes(code, nested):
    bnb = package("bitsandbytes")
    options = {"compute_dtype": torch.float32, "quant_type": code, "compress_statistics": nested}
    model = bnb.nn.Linear4bit(IN, OUT, **options).to("cpu").eval()
    assert model.weight.shape == (IN * OUT // 2, 1)
    holds(model, bnb.functional.dequantize_4bit(model.weight.data, model.weight.quant_state), torch.randn(5, IN))
    # Its first run may lace the codes anew for the processor; what is read then is what runs then.
    again = pc.open(model)
    assert again[""].arrays["weight"].shape == (OUT, IN)
    assert again[""].verify(torch.randn(5, IN))


def test_tables_of_bitsandbytes():
    bnb = package("bitsandbytes")
    tokens = torch.randint(0, IN, (3,))
    eight = bnb.nn.Embedding8bit(IN, IN).to("cpu")
    holds(eight, bnb.functional.int8_vectorwise_dequant(eight.weight.CB, eight.weight.SCB), tokens)
    four = bnb.nn.Embedding4bit(IN, IN).to("cpu")
    holds(four, bnb.functional.dequantize_4bit(four.weight.data, four.weight.quant_state), tokens)


def test_a_layer_that_is_not_packed_yet_is_a_plain_one():
    bnb = package("bitsandbytes")
    model = bnb.nn.Linear4bit(IN, OUT)
    assert torch.equal(pc.open(model)["[3]"].weight, model.weight[3])


# optimum-quanto, hqq


@pytest.mark.parametrize("name", ["qint8", "qint4", "qint2", "qfloat8"])
def test_quanto(name):
    quanto = package("optimum.quanto")
    model = nn.Sequential(nn.Linear(IN, OUT), nn.Conv2d(3, 8, 3))
    quanto.quantize(model, weights=getattr(quanto, name))
    quanto.freeze(model)
    holds(model[:1], model[0].weight.dequantize(), torch.randn(5, IN), "0")
    assert torch.equal(pc.open(model)["1[3]"].weight, model[1].weight.dequantize()[3])
    check_kind(model[1], torch.randn(1, 3, 6, 6))


def test_quanto_with_rounded_activations_is_not_recomputed():
    quanto = package("optimum.quanto")
    model = nn.Sequential(nn.Linear(IN, OUT))
    quanto.quantize(model, weights=quanto.qint8, activations=quanto.qint8)
    with quanto.Calibration():
        model(torch.randn(4, IN))
    quanto.freeze(model)
    with pytest.raises(pc.KindError, match="has no formula"):
        pc.open(model)["0"].verify(torch.randn(4, IN))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("bits", [8, 4, 3, 2, 1])
def test_hqq(bits, axis):
    hqq = package("hqq.core.quantize")
    config = hqq.BaseQuantizeConfig(nbits=bits, group_size=16, axis=axis)
    model = hqq.HQQLinear(nn.Linear(IN, OUT), config, compute_dtype=torch.float32, device="cpu")
    holds(model, model.dequantize(), torch.randn(5, IN))


# transformers


def test_bitnet():
    bitnet = package("transformers.integrations.bitnet")
    model, codes = bitnet.BitLinear(IN, OUT, True, dtype=torch.float32), torch.randint(-1, 2, (OUT, IN)).float()
    model.weight = bitnet.pack_weights(codes.clone())
    model.weight_scale.fill_(7.3)
    model.bias.normal_()
    with torch.compiler.set_stance("force_eager"):
        assert torch.equal(bitnet.unpack_weights(model.weight, torch.float32), codes)
        holds(model, codes / model.weight_scale, torch.randn(5, IN))


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_few_bits_of_gemma(bits):
    gemma = package("transformers.integrations.gemma_quant")
    model = gemma.QuantizedLinear(IN, OUT, True, bits)
    with torch.no_grad():
        model.weight.copy_(torch.randint(0, 255, model.weight.shape, dtype=torch.uint8).view(model.weight.dtype))
        model.weight_scale.copy_(torch.rand(OUT, 1))
    holds(model, model._dequantize_weights().detach(), torch.randn(5, IN))


@pytest.mark.parametrize("block", [None, (16, 16), (24, 40)])
def test_float8_in_blocks(block):
    package("transformers.integrations.finegrained_fp8")
    from transformers.integrations.finegrained_fp8 import FP8Linear

    model = FP8Linear(IN, OUT, block_size=block)
    with torch.no_grad():
        model.weight.copy_(torch.randn(OUT, IN))
        model.weight_scale_inv.copy_(torch.rand(model.weight_scale_inv.shape))
    steps = model.weight_scale_inv.detach()
    if block:
        steps = steps.repeat_interleave(block[0], 0)[:OUT].repeat_interleave(block[1], 1)[:, :IN]
    net = holds(model, model.weight.detach().float() * steps)
    assert net[""].kind.endswith("FP8Linear")
