"""Tiny but faithful networks of many architectures, for tests of wiring: a model in eval and float64, and an input.

`ZOO` maps a name to a builder of (model, x). `published` has five networks in full size, with random weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import torch
from tests.support.wiring_zoo_nets import (
    Autoencoder,
    BagOfWords,
    Bilinear,
    BiLstm,
    Branching,
    CellLoop,
    CrossAttention,
    DenseNet,
    EfficientNet,
    Einsum,
    Functional,
    GroupShuffle,
    GruStack,
    Highway,
    Inception,
    Mixer,
    MobileNetV2,
    PermutedFlatten,
    PixelShuffle,
    PreluGlu,
    ResNet,
    Shared,
    ShuffleNetV2,
    SqueezeNet,
    Translator,
    UNet,
    Vgg,
    WaveNet,
    WeightNormed,
)
from torch import nn

Case: TypeAlias = tuple[nn.Module, Any]
"""A model and what `net.record` takes."""
SEED = 6


def _ready(make: Callable[[], nn.Module], *x: torch.Tensor, **words: torch.Tensor) -> Case:
    """Built with random numbers everywhere, so that no scale is 1, no bias 0 and no channel dead by its start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = make().eval().double()
        with torch.no_grad():
            for module in model.modules():
                if "Norm" in type(module).__name__ and getattr(module, "weight", None) is not None:
                    module.weight.uniform_(0.5, 1.5)
                    if getattr(module, "bias", None) is not None:
                        module.bias.normal_(0, 0.3)
                if getattr(module, "running_mean", None) is not None:
                    module.running_mean.normal_(0, 0.3)
                    module.running_var.uniform_(0.5, 1.5)
    return model, dict(words) if words else x[0] if len(x) == 1 else x


def _image(size: int, channels: int = 3, count: int = 2) -> torch.Tensor:
    return torch.randn(count, channels, size, size, generator=_generator(), dtype=torch.float64)


def _features(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=_generator(), dtype=torch.float64)


def _tokens(*shape: int, vocabulary: int = 40) -> torch.Tensor:
    return torch.randint(3, vocabulary, shape, generator=_generator())


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(SEED)


def _gpt2() -> Case:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=40, n_positions=16, n_embd=12, n_layer=2, n_head=3, bos_token_id=1, eos_token_id=2)
    return _ready(lambda: GPT2LMHeadModel(config), input_ids=_tokens(2, 5))


def _bert() -> Case:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=40,
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=16,
        max_position_embeddings=16,
    )
    return _ready(lambda: BertForSequenceClassification(config), input_ids=_tokens(2, 5))


_DECODER = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def _llama() -> Case:
    from transformers import LlamaConfig, LlamaForCausalLM

    return _ready(lambda: LlamaForCausalLM(LlamaConfig(**_DECODER, num_key_value_heads=2)), input_ids=_tokens(2, 5))


def _phi3() -> Case:
    from transformers import Phi3Config, Phi3ForCausalLM

    return _ready(lambda: Phi3ForCausalLM(Phi3Config(**_DECODER, num_key_value_heads=2)), input_ids=_tokens(2, 5))


def _neox() -> Case:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    return _ready(lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**_DECODER)), input_ids=_tokens(2, 5))


def _mixtral(experts: str = "eager") -> Case:
    """`experts` is how transformers runs them: one by one, as a batch of chosen weights, or grouped (float32 only)."""
    from transformers import MixtralConfig, MixtralForCausalLM

    config = MixtralConfig(**_DECODER, num_key_value_heads=2, num_local_experts=3, num_experts_per_tok=2)
    model, x = _ready(lambda: MixtralForCausalLM(config), input_ids=_tokens(2, 6))
    model.set_experts_implementation(experts)
    return model.float() if experts == "grouped_mm" else model, x


def _t5() -> Case:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=40,
        d_model=12,
        d_kv=4,
        d_ff=16,
        num_layers=2,
        num_heads=3,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
    )
    return _ready(lambda: T5ForConditionalGeneration(config), input_ids=_tokens(2, 5), decoder_input_ids=_tokens(2, 4))


def _whisper() -> Case:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = WhisperConfig(
        vocab_size=40,
        num_mel_bins=6,
        d_model=12,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=3,
        decoder_attention_heads=3,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_source_positions=8,
        max_target_positions=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    return _ready(
        lambda: WhisperForConditionalGeneration(config),
        input_features=_features(1, 6, 16),
        decoder_input_ids=_tokens(1, 4),
    )


def _mamba() -> Case:
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(
        vocab_size=40, hidden_size=8, state_size=4, num_hidden_layers=2, expand=2, conv_kernel=3, time_step_rank=3
    )
    return _ready(lambda: MambaForCausalLM(config), input_ids=_tokens(2, 5))


def _convnext() -> Case:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    config = ConvNextConfig(
        num_stages=2, hidden_sizes=[6, 8], depths=[1, 2], patch_size=2, layer_scale_init_value=0.5, num_labels=4
    )
    return _ready(lambda: ConvNextForImageClassification(config), pixel_values=_image(16))


def _swin() -> Case:
    from transformers import SwinConfig, SwinForImageClassification

    config = SwinConfig(
        image_size=16, patch_size=2, embed_dim=6, depths=[2, 2], num_heads=[2, 3], window_size=2, num_labels=4
    )
    return _ready(lambda: SwinForImageClassification(config), pixel_values=_image(16, count=1))


def _vit() -> Case:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        image_size=8,
        patch_size=4,
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=16,
        num_labels=4,
    )
    return _ready(lambda: ViTForImageClassification(config), pixel_values=_image(8))


ZOO: dict[str, Callable[[], Case]] = {
    "resnet_basic": lambda: _ready(lambda: ResNet((1, 2), (4, 6), bottleneck=False), _image(16)),
    "resnet_bottleneck": lambda: _ready(lambda: ResNet((2, 2), (3, 4)), _image(16)),
    "densenet": lambda: _ready(lambda: DenseNet((2, 3), growth=3, start=6, width=2), _image(16)),
    "mobilenet_v2": lambda: _ready(lambda: MobileNetV2(((1, 4, 1, 1), (3, 6, 2, 2)), 4, 10), _image(16)),
    "efficientnet": lambda: _ready(lambda: EfficientNet(4, (6, 6)), _image(16)),
    "shufflenet_v2": lambda: _ready(lambda: ShuffleNetV2((2, 2), (4, 8, 12), 16), _image(16)),
    "shufflenet_v1": lambda: _ready(lambda: GroupShuffle(6, 2), _image(8)),
    "swin": _swin,
    "vit": _vit,
    "unet": lambda: _ready(lambda: UNet(4), _image(8)),
    "vgg": lambda: _ready(lambda: Vgg((4, 6), 8), _image(8)),
    "bi_lstm": lambda: _ready(lambda: BiLstm(40, 6, 4), _tokens(3, 5)),
    "gru_stack": lambda: _ready(lambda: GruStack(4, 5), _features(3, 5, 4)),
    "transformer": lambda: _ready(lambda: Translator(40, 8), _tokens(2, 4), _tokens(2, 3)),
    "gpt2": _gpt2,
    "bert": _bert,
    "llama": _llama,
    "phi3": _phi3,
    "gpt_neox": _neox,
    "mixtral": _mixtral,
    "mixtral_batched": lambda: _mixtral("batched_mm"),
    "mixtral_grouped": lambda: _mixtral("grouped_mm"),
    "t5": _t5,
    "whisper": _whisper,
    "mamba": _mamba,
    "convnext": _convnext,
    "inception": lambda: _ready(lambda: Inception(4), _image(8)),
    "control_flow": lambda: _ready(lambda: Branching(5, 6), _features(4, 5)),
    "shared": lambda: _ready(lambda: Shared(6), _features(4, 6)),
    "functional": lambda: _ready(lambda: Functional(5, 6), _features(4, 5)),
    "permuted_flatten": lambda: _ready(lambda: PermutedFlatten(4), _image(6)),
    "weight_norm": lambda: _ready(lambda: WeightNormed(4), _features(2, 3, 8)),
    "tied": lambda: _ready(lambda: Autoencoder(30, 6), _tokens(2, 4, vocabulary=30)),
    "prelu_glu": lambda: _ready(lambda: PreluGlu(6), _image(8)),
    "einsum": lambda: _ready(lambda: Einsum(6), _features(2, 4, 6)),
    "pixel_shuffle": lambda: _ready(lambda: PixelShuffle(3), _image(6)),
    "mixer": lambda: _ready(lambda: Mixer(8, 4, 6), _image(8)),
    "squeezenet": lambda: _ready(lambda: SqueezeNet(4), _image(16)),
    "cross_attention": lambda: _ready(lambda: CrossAttention(8, 2), _features(2, 3, 8), _features(2, 4, 8)),
    "wavenet": lambda: _ready(lambda: WaveNet(4), _features(2, 1, 12)),
    "cell_loop": lambda: _ready(lambda: CellLoop(4, 5), _features(2, 4, 4)),
    "bag_of_words": lambda: _ready(lambda: BagOfWords(30, 6), _tokens(3, 4, vocabulary=30)),
    "bilinear": lambda: _ready(lambda: Bilinear(4, 5), _features(3, 4), _features(3, 5)),
    "highway": lambda: _ready(lambda: Highway(6), _features(4, 6)),
}
"""Name -> (model, x)."""


class Published(NamedTuple):
    """A network in full size, with random weights.

    build      gives it for an input of a size: pixels on each side, or tokens
    smallest   the smallest size that it accepts
    edges      how many direct edges it has
    """

    build: Callable[[int], Case]
    smallest: int
    edges: int


def published() -> dict[str, Published]:
    """The networks whose numbers of direct edges are published."""

    def image(make: Callable[[], nn.Module]) -> Callable[[int], Case]:
        return lambda size: _ready(make, _image(size, count=1))

    return {
        "resnet50": Published(image(lambda: ResNet((3, 4, 6, 3), (64, 128, 256, 512), 1000, 64)), 1, 73_984),
        "densenet121": Published(image(lambda: DenseNet((6, 12, 24, 16), 32, 64, 4, 1000)), 29, 41_760),
        "mobilenet_v2": Published(image(lambda: MobileNetV2(MOBILENET, 32, 1280, 1000)), 1, 18_328),
        "shufflenet_v2_x1_0": Published(
            image(lambda: ShuffleNetV2((4, 8, 4), (24, 116, 232, 464), 1024, 1000)), 1, 8_462
        ),
        "gpt2": Published(_gpt2_small, 1, 314_880),
    }


def _gpt2_small(size: int) -> Case:
    from transformers import GPT2Config, GPT2LMHeadModel

    return _ready(lambda: GPT2LMHeadModel(GPT2Config()), input_ids=_tokens(1, size, vocabulary=50_000))


MOBILENET = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, blocks, stride (Sandler et al., CVPR 2018, table 2)."""
