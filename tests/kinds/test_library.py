"""The rows of the transformers package: real modules with random weights, recomputed; numbers worked out by hand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from torch import nn
from torch.nn import functional
from transformers import BertConfig, BertForMaskedLM, MambaConfig, MambaModel
from transformers.activations import XIELUActivation
from transformers.models.bamba.modeling_bamba import BambaRMSNormGated
from transformers.models.bart.modeling_bart import BartLearnedPositionalEmbedding, BartScaledWordEmbedding
from transformers.models.bit.modeling_bit import BitGroupNormActivation, WeightStandardizedConv2d
from transformers.models.chameleon.modeling_chameleon import ChameleonLayerNorm
from transformers.models.clip.modeling_clip import CLIPVisionConfig, CLIPVisionEmbeddings
from transformers.models.cohere.modeling_cohere import CohereLayerNorm
from transformers.models.convbert.modeling_convbert import GroupedLinearLayer
from transformers.models.convnext.modeling_convnext import ConvNextLayerNorm
from transformers.models.convnextv2.modeling_convnextv2 import ConvNextV2GRN
from transformers.models.dac.modeling_dac import Snake1d
from transformers.models.deepseek_v4.modeling_deepseek_v4 import DeepseekV4GroupedLinear
from transformers.models.detr.modeling_detr import DetrFrozenBatchNorm2d
from transformers.models.dinov2.modeling_dinov2 import Dinov2Config, Dinov2LayerScale
from transformers.models.eomt.modeling_eomt import EomtLayerNorm2d
from transformers.models.falcon_h1.modeling_falcon_h1 import FalconH1RMSNormGated
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm, GemmaTextScaledWordEmbedding
from transformers.models.gemma3n.modeling_gemma3n import Gemma3nAudioCumulativeGroupNorm
from transformers.models.git.modeling_git import GitConfig, GitModel
from transformers.models.hgnet_v2.modeling_hgnet_v2 import HGNetV2LearnableAffineBlock
from transformers.models.idefics.modeling_idefics import IdeficsDecoupledEmbedding, IdeficsDecoupledLinear
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.mobilebert.modeling_mobilebert import NoNorm
from transformers.models.moonshine_streaming.modeling_moonshine_streaming import MoonshineStreamingLayerNorm
from transformers.models.muse_spark.modeling_muse_spark import MuseSparkTextInputScaledRMSNorm
from transformers.models.nemotron.modeling_nemotron import NemotronLayerNorm1P
from transformers.models.opt.modeling_opt import OPTLearnedPositionalEmbedding
from transformers.models.parakeet.modeling_parakeet import ParakeetEncoderCTCHead
from transformers.models.pe_audio.modeling_pe_audio import PeAudioMaskedGroupNorm
from transformers.models.pocket_tts.modeling_pocket_tts import PocketTTSTimestepNorm
from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import Qwen2_5OmniSnakeBeta
from transformers.models.qwen3_next.modeling_qwen3_next import Qwen3NextRMSNormGated
from transformers.models.qwen4_exp.modeling_qwen4_exp import Qwen4ExpTextRMSNorm
from transformers.models.squeezebert.modeling_squeezebert import SqueezeBertLayerNorm
from transformers.models.t5.modeling_t5 import T5LayerNorm
from transformers.models.t5gemma2.modeling_t5gemma2 import T5Gemma2TextScaledWordEmbedding
from transformers.models.vitdet.modeling_vitdet import VitDetLayerNorm
from transformers.models.whisper.modeling_whisper import WhisperPositionalEmbedding
from transformers.models.xlstm.modeling_xlstm import xLSTMMultiHeadLayerNorm, xLSTMRMSNorm
from transformers.pytorch_utils import Conv1D

import patchclamp as pc
from patchclamp.errors import KindError
from patchclamp.kinds import library
from patchclamp.kinds.library.text import table
from patchclamp.kinds.named import indexed
from patchclamp.testing import check_kind

GENERATOR = torch.Generator().manual_seed(3)


def rand(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=GENERATOR)


def tokens(count: int, *shape: int) -> torch.Tensor:
    return torch.randint(count, shape, generator=GENERATOR)


def scrambled(module: nn.Module) -> nn.Module:
    """Random weights, so that a check on ones and zeros cannot pass by luck."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=GENERATOR) + 0.5)
        for name, buffer in module.named_buffers():
            if name.endswith(("weight", "bias", "running_mean", "running_var")):
                buffer.copy_(torch.rand(buffer.shape, generator=GENERATOR) + 0.5)
    return module.eval()


VECTORS = (2, 5, 6)
MAPS = (2, 6, 4, 3)

# The rows, class by class

REAL = [
    (lambda: LlamaRMSNorm(6), VECTORS),
    (lambda: T5LayerNorm(6), VECTORS),
    (lambda: xLSTMRMSNorm(6, use_bias=True), VECTORS),
    (lambda: GemmaRMSNorm(6), VECTORS),
    (lambda: Qwen4ExpTextRMSNorm(6, group_size=3), VECTORS),
    (lambda: MuseSparkTextInputScaledRMSNorm(6), VECTORS),
    (lambda: PocketTTSTimestepNorm(6), VECTORS),
    (lambda: CohereLayerNorm((2, 6)), (3, 4, 2, 6)),
    (lambda: CohereLayerNorm(6), VECTORS),
    (lambda: ChameleonLayerNorm((2, 6)), (3, 4, 2, 6)),
    (lambda: MoonshineStreamingLayerNorm(6), VECTORS),
    (lambda: NemotronLayerNorm1P(6), VECTORS),
    (lambda: xLSTMMultiHeadLayerNorm(2, 3, use_bias=True), (2, 5, 2, 3)),
    (lambda: ConvNextLayerNorm(6, data_format="channels_first"), MAPS),
    (lambda: ConvNextLayerNorm(6), (2, 4, 3, 6)),
    (lambda: EomtLayerNorm2d(6), MAPS),
    (lambda: SqueezeBertLayerNorm(6), (2, 6, 5)),
    (lambda: VitDetLayerNorm(6), MAPS),
    (lambda: DetrFrozenBatchNorm2d(6), MAPS),
    (lambda: BitGroupNormActivation(transformers.BitConfig(num_groups=2), 6), MAPS),
    (lambda: ConvNextV2GRN(6), (2, 4, 3, 6)),
    (lambda: Gemma3nAudioCumulativeGroupNorm(6, (4,)), (2, 3, 4, 6)),
    (lambda: Dinov2LayerScale(Dinov2Config(hidden_size=6)), VECTORS),
    (lambda: NoNorm(6), VECTORS),
    (lambda: HGNetV2LearnableAffineBlock(), MAPS),
    (lambda: Snake1d(6), (2, 6, 5)),
    (lambda: Qwen2_5OmniSnakeBeta(6), (2, 6, 5)),
    (lambda: XIELUActivation(dtype=torch.float32), VECTORS),
    (lambda: Conv1D(4, 6), VECTORS),
    (lambda: GroupedLinearLayer(6, 4, 2), VECTORS),
    (lambda: DeepseekV4GroupedLinear(3, 8, 2), (2, 5, 2, 3)),
    (lambda: IdeficsDecoupledLinear(6, 4, 2), VECTORS),
    (lambda: ParakeetEncoderCTCHead(6, 4, 1), VECTORS),
]


@pytest.mark.parametrize(("make", "shape"), REAL, ids=lambda given: "")
def test_every_neuron_is_recomputed_and_a_wrong_weight_is_noticed(make, shape):
    report = check_kind(scrambled(make()), rand(*shape))
    assert report.noticed > 0
    assert report.excess <= 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_they_hold_in_other_types_too(dtype):
    """Norms that go over to float32 in a float64 model, and roundings on the way in 16-bit ones, are allowed for."""
    failed = []
    for make, shape in REAL:
        module = scrambled(make()).to(dtype)
        check = pc.open(module)[""].verify(rand(*shape).to(dtype))
        failed += [] if check else [str(check)]
    assert failed == []


def test_a_filter_that_is_standardised_is_verified_as_it_is_used():
    """Its weights times 1.5 are the same filter, so here the call itself is made wrong."""
    conv, x = scrambled(WeightStandardizedConv2d(6, 4, 3, stride=2, padding="SAME")), rand(*MAPS)
    assert conv.pad is not None
    assert check_kind(conv, x).excess <= 1
    net = pc.open(conv)
    first = functional.conv2d
    stored = conv.weight.detach().clone()

    def wrong(x, weight, *rest):
        return first(x, weight * 1.01, *rest)

    nn.functional.conv2d = wrong
    try:
        assert not net[""].verify(x)
    finally:
        nn.functional.conv2d = first
    assert torch.equal(conv.weight, stored)


@pytest.mark.parametrize(
    ("make", "x"),
    [
        (lambda: BambaRMSNormGated(6, 3), (rand(*VECTORS), rand(*VECTORS))),
        (lambda: Qwen3NextRMSNormGated(6), (rand(5, 6), rand(5, 6))),
        (lambda: FalconH1RMSNormGated(6, n_groups=2, norm_before_gate=True), (rand(*VECTORS), rand(*VECTORS))),
        (lambda: FalconH1RMSNormGated(6, n_groups=2, norm_before_gate=False), (rand(*VECTORS), rand(*VECTORS))),
        (lambda: PeAudioMaskedGroupNorm(2, 6), (rand(2, 6, 5), torch.tensor([[1, 0, 1, 1, 0]]).expand(2, 6, 5))),
        (lambda: PeAudioMaskedGroupNorm(2, 6), (rand(2, 6, 5),)),
    ],
    ids=["gate first", "gate last", "either, last", "either, first", "masked", "not masked"],
)
def test_a_second_input_counts(make, x):
    assert check_kind(scrambled(make()), x).noticed > 0


@pytest.mark.parametrize(
    "module",
    [
        BartScaledWordEmbedding(9, 6, 1, embed_scale=3.0),
        GemmaTextScaledWordEmbedding(9, 6, 0, embed_scale=6**0.5),
        T5Gemma2TextScaledWordEmbedding(9, 6, 0, embed_scale=2.0, eoi_token_index=4),
        BartLearnedPositionalEmbedding(12, 6),
        OPTLearnedPositionalEmbedding(12, 6),
        IdeficsDecoupledEmbedding(7, 2, 6),
    ],
    ids=lambda module: type(module).__name__,
)
def test_embeddings_of_their_own_look_up_what_they_look_up(module):
    x = torch.ones(2, 5, dtype=torch.long) if "OPT" in type(module).__name__ else tokens(9, 2, 5)
    report = check_kind(scrambled(module), x)
    assert report.noticed == report.edited == 6


# By hand


def answer(module: nn.Module, x: torch.Tensor, **values: list[float]) -> list[float]:
    """What `verify` recomputes for each neuron of a layer on one vector."""
    for name, numbers in values.items():
        held = getattr(module, name)
        held.data = torch.tensor(numbers, dtype=torch.float32).reshape(held.shape)
    net = pc.open(nn.Sequential(module.eval()))
    checks = [net["0"][number].verify(x) for number in range(len(net["0"]))]
    assert all(checks)
    return [pytest.approx(check.recomputed, abs=1e-5) for check in checks]


def test_norms_by_hand():
    x = torch.tensor([[3.0, 4.0, 0.0, 0.0]])  # the mean of the squares is 6.25
    assert answer(LlamaRMSNorm(4, eps=0.0), x, weight=[1, 2, 3, 4]) == [1.2, 3.2, 0.0, 0.0]
    assert answer(GemmaRMSNorm(4, eps=0.0), x, weight=[0, 1, 2, 3]) == [1.2, 3.2, 0.0, 0.0]
    grouped = torch.tensor([[3.0, 3.0, -5.0, 5.0]])  # each half by its own mean square
    assert answer(Qwen4ExpTextRMSNorm(4, 2, eps=0.0), grouped, weight=[0, 1, 0, 1]) == [1, 2, -1, 2]
    first = torch.tensor([[3.0, 2.0, 0.0, 0.0]])  # (1 + w) x is 3, 4, 0, 0
    assert answer(MuseSparkTextInputScaledRMSNorm(4, eps=0.0), first, weight=[0, 1, 0, 0]) == [1.2, 1.6, 0, 0]
    two = torch.tensor([[1.0, 3.0]])  # the mean is 2, the variance 1, that of n - 1 is 2
    assert answer(CohereLayerNorm(2, eps=0.0), two, weight=[5, 7]) == [-5, 7]
    assert answer(PocketTTSTimestepNorm(2, eps=0.0), two, weight=[2**0.5, 2**0.5]) == [1, 3]
    assert answer(MoonshineStreamingLayerNorm(2), two, gamma=[4, 6]) == [
        pytest.approx(-5, abs=1e-4),
        pytest.approx(7, abs=1e-4),
    ]


def test_scales_and_activations_by_hand():
    assert answer(NoNorm(2), torch.tensor([[3.0, 4.0]]), weight=[2, 3], bias=[1, -1]) == [7, 11]
    half = torch.full((1, 1, 1), torch.pi / 4)  # sin^2(2 x) = 1, over a = 2
    assert answer(Snake1d(1), half, alpha=[2.0]) == [torch.pi / 4 + 0.5]
    assert answer(XIELUActivation(dtype=torch.float32), torch.tensor([[2.0]]), alpha_p=[0.0]) == [
        pytest.approx(4 * 0.69314718 + 1, abs=1e-5)  # softplus(0) is log 2; beta is 1/2
    ]
    x = torch.tensor([[[[3.0, 1.0]], [[4.0, 0.0]]]])  # over the map the sizes are 5 and 1, their mean 3
    grn = ConvNextV2GRN(2)
    assert answer(grn, x[:, :1] * 0 + x[:, :1], weight=[0, 0], bias=[0, 0]) == [3, 1]
    net = pc.open(nn.Sequential(grn))
    grn.weight.data = torch.tensor([3.0, 0.0]).reshape(1, 1, 1, 2)
    assert net["0[0]@0,0"].verify(x).recomputed == pytest.approx(3 * 3 * 5 / 3 + 3, rel=1e-5)


def test_matrices_and_tables_by_hand():
    x = torch.tensor([[1.0, 10.0]])
    assert answer(Conv1D(3, 2), x, weight=[1, 2, 3, 4, 5, 6], bias=[0, 0, 100]) == [41, 52, 163]
    assert answer(GroupedLinearLayer(2, 4, 2), x, weight=[1, 2, 3, 4], bias=[0, 0, 0, 1]) == [1, 2, 30, 41]
    table = BartScaledWordEmbedding(2, 2, None, embed_scale=3.0)
    assert answer(table, torch.tensor([1]), weight=[1, 2, 3, 4]) == [9, 12]
    special = T5Gemma2TextScaledWordEmbedding(2, 2, 0, embed_scale=3.0, eoi_token_index=1)
    assert answer(special, torch.tensor([1]), weight=[1, 2, 3, 4], eoi_embedding=[7, 8]) == [7, 8]
    offset = BartLearnedPositionalEmbedding(2, 1)  # position 1 is row 3
    assert answer(offset, torch.zeros(1, 2, dtype=torch.long), weight=[1, 2, 3, 4])[0] in (3, 4)
    standard = WeightStandardizedConv2d(1, 1, (1, 2), padding=0)  # -1 and 1, whatever is stored
    assert answer(standard, torch.tensor([[[[2.0, 7.0]]]]), weight=[10, 30]) == [5]


# What is described without a formula, and what is no neuron's


def test_a_mixer_has_its_numbers_on_channels_and_is_not_recomputed():
    config = MambaConfig(hidden_size=8, intermediate_size=16, state_size=3, num_hidden_layers=1, vocab_size=11)
    net = pc.open(MambaModel(config))
    assert net.accounting().complete
    channel = net["layers.0.mixer[5]"]
    assert {name: tuple(array.shape) for name, array in channel.arrays.items()} == {"A_log": (3,), "D": ()}
    with pytest.raises(KindError, match="is not what its neurons give"):
        net["layers.0.mixer"].verify({"input_ids": tokens(11, 1, 4)})


def test_tokens_and_tables_are_named():
    config = CLIPVisionConfig(hidden_size=8, image_size=8, patch_size=4, num_attention_heads=2, intermediate_size=8)
    net = pc.open(CLIPVisionEmbeddings(config))
    found = {entry.path: entry.status for entry in net.accounting().entries}
    assert found["class_embedding"] == found["position_ids"] == "apart"
    assert set(found.values()) == {"apart", "neuron"}
    assert "class token" in net[""].explain()


def test_a_list_of_vectors_is_named_by_its_parent():
    config = GitConfig(
        vocab_size=9,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        num_image_with_embedding=2,
        vision_config={
            "hidden_size": 8,
            "image_size": 8,
            "patch_size": 4,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 8,
        },
    )
    net = pc.open(GitModel(config))
    assert net.accounting().complete
    assert [e.status for e in net.accounting().entries if "temporal" in e.path] == ["apart", "apart"]


def test_a_bias_that_is_tied_is_the_neurons_that_use_it():
    config = BertConfig(vocab_size=11, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    model = BertForMaskedLM(config)
    head = model.cls.predictions
    assert head.bias is head.decoder.bias
    found = {entry.path: entry.status for entry in pc.open(model).accounting().entries}
    assert found["cls.predictions.bias"] == "neuron"
    head.bias = nn.Parameter(head.bias.detach().clone())
    found = {entry.path: entry.status for entry in pc.open(model).accounting().entries}
    assert (found["cls.predictions.bias"], found["cls.predictions.decoder.bias"]) == ("apart", "neuron")


def test_a_table_that_is_sliced_and_not_looked_up_has_no_formula():
    net = pc.open(WhisperPositionalEmbedding(8, 4))
    assert net[""][2].arrays["weight"].shape == (8,)
    with pytest.raises(KindError, match="no formula"):
        net[""].verify(torch.zeros(1, 3, dtype=torch.long))


def test_what_torch_holds_without_neurons_is_named_too():
    net = pc.open(
        nn.ModuleDict({"loss": nn.CrossEntropyLoss(torch.ones(3)), "list": nn.ParameterList([torch.ones(2)])})
    )
    found = {entry.path: entry.status for entry in net.accounting().entries}
    assert found == {"loss.weight": "apart", "list.0": "unknown"}  # a list alone does not say what it holds
    assert "weight of each class" in net["loss"].explain()


# The tables


def test_every_row_names_a_class_of_the_package():
    root = Path(transformers.__file__).parent
    names = indexed(library.TABLES)
    missing = []
    for name in names:
        module, _, cls = name.removeprefix("transformers.").rpartition(".")
        source = (root / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        if not re.search(rf"^ *class {cls}\b", source, re.MULTILINE):
            missing.append(name)
    assert len(names) > 900
    assert missing == []


def test_a_subclass_needs_no_line():
    class Mine(LlamaRMSNorm):
        pass

    assert pc.open(Mine(4))[""].kind.endswith("LlamaRMSNorm")


def test_several_tables_speak_of_one_class_together():
    index = indexed((table("bert.Bert | a: x"), table("bert.Bert | b = neuron; head # heads")))
    row = index["transformers.models.bert.modeling_bert.Bert"]
    assert (row.arrays, row.apart, row.sizes) == ({"b": "neuron"}, {"a": "x"}, {"head": "heads"})


def test_rows_as_text():
    ((row, names),) = table("a.B c.D\n  | w = (head neuron) in; [other] v = in neuron;\n    t, u: a learned token")
    assert names.split() == ["a.B", "c.D"]
    assert (row.arrays, row.neuron) == ({"w": "(head neuron) in"}, ("head", "neuron"))
    assert row.others["other"].arrays == {"v": "in neuron"}
    assert row.apart == {"t": "a learned token", "u": "a learned token"}


def test_the_tables_are_made_when_a_class_of_the_package_is_looked_for():
    code = (
        "import sys; from patchclamp import kinds; kinds.find(['torch.nn.Linear', 'my.Layer'])\n"
        "print('patchclamp.kinds.library.norms' in sys.modules)\n"
        "kinds.find(['transformers.x.Y']); print('patchclamp.kinds.library.norms' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "True"]
