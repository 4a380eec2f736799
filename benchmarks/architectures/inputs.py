"""Inputs for a model, from the names of its forward's arguments and what its config says."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from itertools import islice, product
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from .facts import Facts

LENGTH = 12
FRAMES = 64
_ATTEMPTS = 24
Inputs = dict[str, Any]

# Given whenever the forward takes them, required or not.
_ALWAYS = frozenset(
    {
        "input_ids",
        "pixel_values",
        "bbox",
        "decoder_input_ids",
        "input_features",
        "input_features_mask",
        "feature_attention_mask",
        "input_values",
        "audio_values",
        "image_grid_thw",
        "grid_thw",
        "image_grid_hws",
        "image_merge_sizes",
        "image_sizes",
        "visual_feats",
        "visual_pos",
        "states",
        "entity_ids",
        "flattened_patches",
        "spatial_shapes",
        "pixel_position_ids",
        "image_position_ids",
        "protein_input_ids",
        "protein_attention_mask",
        "aspect_ratio_ids",
        "aspect_ratio_mask",
    }
)
_SOUND = frozenset(["input_features", "input_values", "audio_values"])
_SIGHT = frozenset(["pixel_values", "pixel_values_videos", "flattened_patches"])
_NEVER = frozenset(["inputs_embeds", "decoder_inputs_embeds", "labels", "return_dict"])
_MISMATCH = re.compile(
    r"(image|video|audio|multimodal).*tokens:? *\D*(\d+).*features:? *\D*(\d+)", re.IGNORECASE | re.DOTALL
)


def find(model: nn.Module, config: PretrainedConfig, override: dict[str, Any]) -> Inputs:
    """Inputs the model runs on, the fullest that do. Where none do, the error of the first attempt is raised."""
    first: Exception | None = None
    facts = Facts(config)
    for inputs in islice(attempts(model, facts, override), _ATTEMPTS):
        try:
            return _fitted(model, facts, inputs)
        except Exception as error:
            first = first or error
    raise first or ValueError(f"no inputs are known for {', '.join(_unknown(model, facts, override))}")


def left_out(model: nn.Module, inputs: Inputs) -> str:
    """In words, the images and sounds that the model would take and is not given; "" where it is given all."""
    wanted = [name for name in _wanted(model, _arguments(model.forward)) if name not in inputs]
    lacking = [name for name in wanted if name in _SOUND or name in _SIGHT]
    return f"run without {', '.join(lacking)}" if lacking else ""


def _unknown(model: nn.Module, facts: Facts, override: dict[str, Any]) -> list[str]:
    taken = _arguments(model.forward)
    wanted = _wanted(model, taken)
    return [name for name in wanted if name not in override and not list(_options(name, facts, model))] or [
        "this forward"
    ]


def _fitted(model: nn.Module, facts: Facts, inputs: Inputs, again: int = 2) -> Inputs:
    """Run; where the model says that it expects other counts of placeholder tokens, put those in and run again."""
    try:
        with torch.no_grad():
            model(**inputs)
        return inputs
    except Exception as error:
        found = _MISMATCH.search(str(error))
        if not again or not found or "input_ids" not in inputs:
            raise
        token = facts.token(found[1].lower())
        if token is None or int(found[3]) > 4096:
            raise
        inputs = {**inputs, "input_ids": _with_placeholders(inputs["input_ids"], token, int(found[3]))}
        return _fitted(model, facts, _with_types(inputs, model, facts), again - 1)


def attempts(model: nn.Module, facts: Facts, override: dict[str, Any]) -> Iterator[Inputs]:
    """Candidates, the fullest first."""
    taken = _arguments(model.forward)
    names = _wanted(model, taken)
    for group in _groups(names, taken):
        options = [[override[name]] if name in override else list(_options(name, facts, model)) for name in group]
        if not all(options) or not (group or override):
            continue
        for values in product(*options):
            inputs = dict(zip(group, values, strict=True)) | override
            inputs = {name: value for name, value in inputs.items() if value is not None}
            yield inputs if "input_ids" in override else _placed(inputs, model, facts)


def _arguments(forward: Callable[..., Any]) -> dict[str, bool]:
    """The names of the arguments, and whether each is required."""
    skipped = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {
        name: item.default is inspect.Parameter.empty
        for name, item in inspect.signature(forward).parameters.items()
        if item.kind not in skipped
    }


def _wanted(model: nn.Module, taken: dict[str, bool]) -> list[str]:
    main = getattr(model, "main_input_name", "input_ids")
    mains = [main] if isinstance(main, str) else list(main)
    names = [name for name, required in taken.items() if required or name in mains or name in _ALWAYS]
    return [name for name in names if name not in _NEVER]


def _groups(names: list[str], taken: dict[str, bool]) -> Iterator[list[str]]:
    """All arguments, then without sound, then without images, then the required ones and text."""
    sound = {name for name in names if name in _SOUND or "feature" in name}
    sight = {name for name in names if name in _SIGHT or "pixel" in name or "image" in name or "grid" in name}
    seen: list[list[str]] = []
    for skipped in (set(), sound, sight, sight | sound):
        group = [name for name in names if name not in skipped or taken.get(name)]
        if group and group not in seen:
            seen.append(group)
            yield group
    required = [name for name in names if taken.get(name)]
    if required not in seen:
        yield required


def _options(name: str, facts: Facts, model: nn.Module) -> Iterator[Any]:
    maker = _MAKERS.get(name)
    if maker is None and name.endswith("input_ids"):
        maker = _ids
    if maker is None and name.endswith("attention_mask") and not name.startswith("pixel"):
        maker = _mask
    if maker is not None:
        yield from maker(facts, model)


def _ids(facts: Facts, model: nn.Module) -> Iterator[Tensor]:
    top = max(6, min(facts.vocabulary, 90))
    yield torch.randint(5 if top > 6 else 0, top, (1, LENGTH))


def _decoder_ids(facts: Facts, model: nn.Module) -> Iterator[Tensor]:
    yield torch.randint(5, max(6, min(facts.vocabulary, 90)), (1, 6))


def _mask(facts: Facts, model: nn.Module) -> Iterator[Tensor]:
    yield torch.ones(1, LENGTH, dtype=torch.long)


def _boxes(facts: Facts, model: nn.Module) -> Iterator[Tensor]:
    corner = torch.randint(0, 50, (1, LENGTH, 2))
    yield torch.cat([corner, corner + torch.randint(1, 50, (1, LENGTH, 2))], -1)


def _image(facts: Facts, model: nn.Module) -> Iterator[Tensor]:
    (height, width), channels = facts.image, facts.channels
    taken = _arguments(model.forward)
    features = getattr(model, "get_image_features", None)
    taken = {**taken, **(_arguments(features) if features else {})}
    grids = [name for name in taken if "grid" in name]
    if grids:
        yield _patches(facts)
    if "spatial_shapes" in taken:
        yield _patches(facts)[None]
    frames = facts.vision("num_frames", "frames_per_clip", default=0)
    if frames and not facts.token("image"):
        yield torch.randn(1, frames, channels, height, width)
        yield torch.randn(1, channels, frames, height, width)
    yield torch.randn(1, channels, height, width)
    yield torch.randn(1, 1, channels, height, width)
    if height != 64:
        yield torch.randn(1, channels, 64, 64)
    yield torch.randn(1, 1, 1, channels, height, width)
    yield torch.randn(1, 16, channels * facts.patch[0] * facts.patch[1])


def _patches(facts: Facts) -> Tensor:
    height, width = facts.patch
    times = facts.vision("temporal_patch_size", "patch_temporal", default=1)
    times = times if isinstance(times, int) else times[0]
    return torch.randn(16, facts.channels * times * height * width)


def _grid(facts: Facts, model: nn.Module) -> Iterator[Tensor]:
    yield torch.tensor([[1, 4, 4]])


def _sound_features(facts: Facts, model: nn.Module) -> Iterator[Tensor]:
    mel = facts.mel
    length = facts.audio("max_source_positions", default=0)
    if length and length * 2 != FRAMES:
        yield torch.randn(1, mel, length * 2)
    yield torch.randn(1, FRAMES, mel)
    yield torch.randn(1, mel, FRAMES)
    wide = facts.audio("feature_projection_input_dim", "input_dim", "feature_size", default=0)
    if wide:
        yield torch.randn(1, FRAMES, wide)
    yield torch.randn(1, 1, FRAMES, mel)
    yield torch.randn(1, LENGTH, mel * 2)


def _sound(facts: Facts, model: nn.Module) -> Iterator[Tensor]:
    channels = facts.audio("audio_channels", default=1)
    length = facts.audio("max_length", default=0)
    if facts.audio("conv_stride", default=None):
        yield torch.randn(1, 4000)
    yield torch.randn(1, channels, 3840)
    yield torch.randn(1, 3840)
    if length:
        yield torch.randn(1, length, facts.mel)
    yield torch.randn(1, FRAMES, facts.mel)


def _hidden(facts: Facts, model: nn.Module) -> Iterator[Tensor]:
    if any("grid" in name for name in _arguments(model.forward)):
        yield _patches(facts)
    width = facts.find(("hidden_size", "d_model", "embed_dim"), 32)
    yield torch.randn(1, LENGTH, width)
    yield torch.randn(16, width)


def _image_sizes(facts: Facts, model: nn.Module) -> Iterator[Tensor | None]:
    yield torch.tensor([list(facts.image)])
    yield None


def _shapes(facts: Facts, model: nn.Module) -> Iterator[Tensor]:
    yield torch.tensor([[4, 4]])


def _patch_mask(facts: Facts, model: nn.Module) -> Iterator[Tensor]:
    yield torch.ones(1, 16, dtype=torch.long)


def _flat(facts: Facts, model: nn.Module) -> Iterator[Tensor]:
    """Patches led by their row and column, counted from 1."""
    places = torch.cartesian_prod(torch.arange(1, 5), torch.arange(1, 5)).float()
    yield torch.cat([places, torch.randn(16, facts.channels * facts.patch[0] * facts.patch[1])], 1)[None]


def _merge_sizes(facts: Facts, model: nn.Module) -> Iterator[Tensor]:
    yield torch.tensor([2])


def _frame_mask(facts: Facts, model: nn.Module) -> Iterator[Tensor | None]:
    yield torch.ones(1, FRAMES, dtype=torch.long)
    yield None


def _past(facts: Facts, model: nn.Module) -> Iterator[Tensor]:
    length = facts.find(("context_length",), 32)
    channels = facts.find(("num_input_channels", "input_size"), 1)
    lags = max(facts.find(("lags_sequence",), [0]) or [0])
    yield torch.randn(1, length, channels)
    yield torch.randn(1, length + lags)
    yield torch.randn(1, length)


def _past_ones(facts: Facts, model: nn.Module) -> Iterator[Tensor]:
    length = facts.find(("context_length",), 32)
    lags = max(facts.find(("lags_sequence",), [0]) or [0])
    yield torch.ones(1, length + lags)


_MAKERS: dict[str, Callable[[Facts, nn.Module], Iterator[Any]]] = {
    "input_ids": _ids,
    "decoder_input_ids": _decoder_ids,
    "bbox": _boxes,
    "pixel_values": _image,
    "pixel_values_videos": _image,
    "image_grid_thw": _grid,
    "grid_thw": _grid,
    "input_features": _sound_features,
    "input_values": _sound,
    "hidden_states": _hidden,
    "image_sizes": _image_sizes,
    "spatial_shapes": _shapes,
    "pixel_attention_mask": _patch_mask,
    "flattened_patches": _flat,
    "input_features_mask": _frame_mask,
    "feature_attention_mask": _frame_mask,
    "image_merge_sizes": _merge_sizes,
    "past_values": _past,
    "past_observed_mask": _past_ones,
}


def _placed(inputs: Inputs, model: nn.Module, facts: Facts) -> Inputs:
    """Put a placeholder token for every feature that the model makes of its images and sounds."""
    ids = inputs.get("input_ids")
    if not isinstance(ids, Tensor) or ids.dim() != 2:
        return inputs
    for what, argument in (("image", "pixel_values"), ("audio", "input_features"), ("audio", "input_values")):
        token = facts.token(what)
        if argument in inputs and token is not None:
            ids = _with_placeholders(ids, token, _count(what, model, inputs))
    return _with_types({**inputs, "input_ids": ids}, model, facts)


def _with_placeholders(ids: Tensor, token: int, count: int) -> Tensor:
    rest = ids[:, ids[0] != token]
    return torch.cat([rest[:, :2], torch.full((1, count), token), rest[:, 2:]], 1)


def _with_types(inputs: Inputs, model: nn.Module, facts: Facts) -> Inputs:
    """Which modality each token is of, and masks as long as the text."""
    ids = inputs["input_ids"]
    taken = _arguments(model.forward)
    types = torch.zeros_like(ids)
    for number, what in ((1, "image"), (2, "video"), (3, "audio")):
        types[ids == (token if (token := facts.token(what)) is not None else -1)] = number
    if "mm_token_type_ids" in taken:
        inputs = {**inputs, "mm_token_type_ids": types}
    if "attention_mask" in inputs:
        inputs = {**inputs, "attention_mask": torch.ones_like(ids)}
    return inputs


def _count(what: str, model: nn.Module, inputs: Inputs) -> int:
    """How many features the model makes: it is asked."""
    ask = getattr(model, f"get_{what}_features", None) or getattr(
        getattr(model, "model", None), f"get_{what}_features", None
    )
    if ask is None:
        return 4
    taken = _arguments(ask)
    given = {name: value for name, value in inputs.items() if name in taken and name != "input_ids"}
    try:
        with torch.no_grad():
            made = ask(**given)
    except Exception:
        return 4
    made = getattr(made, "pooler_output", None) if getattr(made, "pooler_output", None) is not None else made
    return _rows(made) or 4


def _rows(made: Any) -> int:
    if isinstance(made, Tensor):
        return made.numel() // made.shape[-1]
    if isinstance(made, (list, tuple)):
        return sum(_rows(item) for item in made)
    return _rows(getattr(made, "last_hidden_state", ()))
