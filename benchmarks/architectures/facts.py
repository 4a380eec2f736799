"""What a config says about the inputs of its model: image size, channels, mel bins, special tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from transformers import PretrainedConfig

_VISION = (
    "vision_config",
    "image_config",
    "vit_config",
    "visual_config",
    "backbone_config",
    "encoder",
    "vision_model_config",
)
_AUDIO = ("audio_config", "encoder_config", "audio_encoder_config", "speech_config", "encoder", "semantic_model_config")
_TEXT = ("text_config", "decoder", "llm_config", "language_config")


def walk(config: PretrainedConfig, first: tuple[str, ...] = ()) -> Iterator[PretrainedConfig]:
    """This config and those inside it; those with the names `first` before the others."""
    inner = {name: value for name, value in vars(config).items() if isinstance(value, PretrainedConfig)}
    preferred = [name for name in first if name in inner]
    for name in preferred:
        yield from walk(inner[name], first)
    yield config
    for name, value in inner.items():
        if name not in preferred:
            yield from walk(value, first)


@dataclass(frozen=True)
class Facts:
    """Reads the first config that states a thing."""

    config: PretrainedConfig

    def find(self, names: tuple[str, ...], default: Any, where: tuple[str, ...] = ()) -> Any:
        for config in walk(self.config, where):
            for name in names:
                value = vars(config).get(name)
                if value is not None and not isinstance(value, bool):
                    return value
        return default

    def vision(self, *names: str, default: Any) -> Any:
        return self.find(names, default, _VISION)

    def audio(self, *names: str, default: Any) -> Any:
        return self.find(names, default, _AUDIO)

    def text(self, *names: str, default: Any) -> Any:
        return self.find(names, default, _TEXT)

    @property
    def image(self) -> tuple[int, int]:
        size = self.vision("image_size", "crop_size", "resolution", default=64)
        return pair(size)

    @property
    def channels(self) -> int:
        found = self.vision("num_channels", "in_channels", "in_chans", "input_channels", default=3)
        return found if isinstance(found, int) and found <= 16 else 3

    @property
    def patch(self) -> tuple[int, int]:
        return pair(self.vision("patch_size", "spatial_patch_size", default=16))

    @property
    def vocabulary(self) -> int:
        found = self.text("vocab_size", default=128)
        return int(found) if isinstance(found, int) and found > 0 else 128

    @property
    def mel(self) -> int:
        return int(
            self.audio(
                "num_mel_bins", "n_mel_bins", "mel_bins", "input_feat_size", "input_feat_per_channel", default=80
            )
        )

    def token(self, what: str) -> int | None:
        """The placeholder token of "image", "video" or "audio"."""
        names = tuple(f"{what}{end}" for end in ("_token_id", "_token_index", "_patch_id", "_pad_token_id"))
        found = self.find(names, None)
        return found if isinstance(found, int) else None


def pair(size: Any) -> tuple[int, int]:
    if isinstance(size, (list, tuple)):
        return int(size[-2] if len(size) > 1 else size[0]), int(size[-1])
    return int(size), int(size)
