"""Build a small config of any type: walk its fields, and those of the configs inside it; shrink each by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from math import gcd
from typing import Any

from transformers import CONFIG_MAPPING, PretrainedConfig

from .entry import Sub
from .rules import CEILING, TOKEN, WIDE, kind_of

VOCABULARY = 128
_SKIP = frozenset(
    {
        "transformers_version",
        "architectures",
        "output_hidden_states",
        "return_dict",
        "dtype",
        "chunk_size_feed_forward",
        "is_encoder_decoder",
        "id2label",
        "label2id",
        "problem_type",
        "type_vocab_size",
    }
)
_SCALED = frozenset({"width", "inner", "expert_width", "head_dim", "wide_head"})
# Lists that a config without them fills in for its full size.
_DERIVED_LISTS = frozenset({"width", "depths", "heads", "window", "layer_index", "last_layer"})
_LAYER_NAMES = ("num_hidden_layers", "num_layers", "n_layers", "n_layer", "depth", "layers", "encoder_layers")
_HEAD_NAMES = (
    "num_attention_heads",
    "num_heads",
    "n_heads",
    "n_head",
    "encoder_attention_heads",
    "decoder_attention_heads",
)


@dataclass
class Tokens:
    """New ids for special tokens: one old id is one new id throughout all configs of a model."""

    new: dict[int, int] = field(default_factory=dict)
    scale: int = 0

    def small(self, old: int) -> int:
        if old < 8:
            return old
        return self.new.setdefault(old, VOCABULARY - 1 - len(self.new))


def small_config(model_type: str, override: Mapping[str, Any], scale: int = 0) -> PretrainedConfig:
    """A small config of this type. `override` maps dotted paths to values that no rule may touch.

    With a `scale` all widths are divided by it, where otherwise each is cut to one size: this keeps their ratios.
    """
    return _small(_large(model_type, override), "", override, Tokens(scale=scale))


def _large(model_type: str, override: Mapping[str, Any]) -> PretrainedConfig:
    """The default config. Some have none: those are given what the override says about the configs inside them."""
    kind: Any = CONFIG_MAPPING[model_type]
    subs = {
        path: CONFIG_MAPPING[value.model_type]()
        for path, value in override.items()
        if isinstance(value, Sub) and "." not in path
    }
    try:
        large: PretrainedConfig = kind(**subs)
        return large
    except Exception:
        inner: dict[str, Any] = {}
        for path, value in override.items():
            head, _, last = path.partition(".")
            if last and "." not in last:
                inner.setdefault(head, {})[last] = value
        large = kind(**inner, **subs)
        return large


def _small(large: PretrainedConfig, path: str, override: Mapping[str, Any], tokens: Tokens) -> PretrainedConfig:
    kind = type(large)
    raw = {item.name: _raw(item) for item in fields(kind) if item.name not in _SKIP}
    usual = _usual(kind)
    picked = _picked_layers(large)
    new: dict[str, Any] = {}
    for name, default in raw.items():
        value = vars(large).get(name, default)
        if isinstance(value, PretrainedConfig):
            new[name] = _small(value, f"{path}{name}.", override, tokens)
            continue
        if usual is not None and _same(value, vars(usual).get(name, default)):
            value = default
        new[name] = _value(name, value, large, picked, tokens)
    new.update(_backbone(large, new))
    for key, value in override.items():
        head, _, last = key.rpartition(".")
        if f"{head}." * bool(head) == path:
            new[last] = _resolve(value, key, override, tokens)
    if f"{path}rope_parameters" not in override:
        _fit_rope(new, large)
    _fill(new, large)
    return kind(**new)


def _resolve(value: Any, key: str, override: Mapping[str, Any], tokens: Tokens) -> Any:
    if isinstance(value, Sub):
        inner = {**{f"{key}.{k}": v for k, v in value.override.items()}, **override}
        return _small(CONFIG_MAPPING[value.model_type](), f"{key}.", inner, tokens)
    return value


def _raw(item: Field[Any]) -> Any:
    if item.default is not MISSING:
        return item.default
    return item.default_factory() if item.default_factory is not MISSING else None


def _usual(kind: type[PretrainedConfig]) -> PretrainedConfig | None:
    try:
        return kind()
    except Exception:
        return None


def _same(left: Any, right: Any) -> bool:
    return bool(type(left) is type(right) and left == right)


def _value(name: str, value: Any, large: PretrainedConfig, picked: list[int], tokens: Tokens) -> Any:
    if TOKEN.fullmatch(name):
        return _token(value, tokens)
    per_layer = _per_layer(name, vars(large).get(name), large)
    if per_layer is not None and (value is not None or picked != list(range(len(picked)))):
        return [per_layer[i] for i in picked]
    kind = kind_of(name)
    if value is None and kind in _DERIVED_LISTS and isinstance(vars(large).get(name), (list, tuple)):
        value = vars(large)[name]
    if isinstance(value, bool) or value is None:
        return value
    if tokens.scale and (kind in _SCALED or (kind == "keep" and WIDE.fullmatch(name))):
        return _divided(value, tokens.scale)
    if isinstance(value, int):
        return _scalar(name, kind, value, large, picked)
    if isinstance(value, (list, tuple)) and value and all(isinstance(v, int) for v in value):
        return type(value)(_list(name, kind, list(value), large, picked))
    return value


def _divided(value: Any, scale: int) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_divided(item, scale) for item in value)
    return max(value // scale, 4) if isinstance(value, int) and not isinstance(value, bool) and value >= 16 else value


def _token(value: Any, tokens: Tokens) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return tokens.small(value)
    if isinstance(value, (list, tuple)) and all(isinstance(v, int) for v in value):
        return type(value)(tokens.small(v) for v in value)
    return value


def _scalar(name: str, kind: str, value: int, large: PretrainedConfig, picked: list[int]) -> int:
    if kind == "layers" and value == len(vars(large).get("depths") or ()):
        return value
    if kind == "layers":
        return min(value, len(picked) if name == _layers_name(large) else 2)
    if kind == "kv_heads":
        return _kv_heads(value, large)
    if kind == "window":
        return 32 if value >= 64 else min(value, 2)
    if kind == "image":
        return min(value, 64 if "depths" in vars(large) else 32)
    return min(value, CEILING.get(kind, value))


def _kv_heads(value: int, large: PretrainedConfig) -> int:
    heads = _first(large, _HEAD_NAMES, value)
    if not isinstance(heads, int):
        return min(value, 4)
    return min(heads, 4) if value == heads else min(value, 2)


def _list(name: str, kind: str, value: list[int], large: PretrainedConfig, picked: list[int]) -> Sequence[int]:
    if kind == "depths":
        return [min(v, 1) for v in value]
    if kind == "width":
        return _widths(value)
    if kind == "heads":
        step = gcd(*value) or 1
        return [max(1, v // step) for v in value] if len(set(value)) > 1 else [min(v, 4) for v in value]
    if kind == "last_layer":
        return [max(0, len(picked) - 1)]
    if kind == "layer_index":
        return sorted({min(v, len(picked) - 1 - at) for at, v in enumerate(reversed(value)) if at < len(picked)})
    if kind == "window":
        return [min(v, 2) for v in value]
    return [min(v, CEILING.get(kind, v)) for v in value]


def _widths(value: list[int]) -> list[int]:
    """Keep the ratios of growing widths, from 16 up."""
    least = min(value)
    if least <= 16:
        return value
    return (
        [min(128, max(16, round(v / least) * 16)) for v in value]
        if len(set(value)) > 1
        else [min(v, 32) for v in value]
    )


def _first(config: PretrainedConfig, names: Sequence[str], default: Any) -> Any:
    return next((vars(config)[name] for name in names if vars(config).get(name) is not None), default)


def _layers_name(config: PretrainedConfig) -> str:
    return next((name for name in _LAYER_NAMES if isinstance(vars(config).get(name), int)), "")


def _per_layer(name: str, value: Any, config: PretrainedConfig) -> list[Any] | None:
    """The value as a list with one entry a layer, if it is one."""
    count = vars(config).get(_layers_name(config))
    if "depths" in vars(config):
        return None
    if isinstance(value, (list, tuple)) and count and len(value) == count and count > 2 and not TOKEN.fullmatch(name):
        return list(value)
    return None


def _picked_layers(config: PretrainedConfig) -> list[int]:
    """The layers to keep: the first two, and more until every kind of layer is there."""
    count = vars(config).get(_layers_name(config))
    if not isinstance(count, int):
        return [0, 1]
    lists = [found for name in _list_names(config) if (found := _per_layer(name, _read(config, name), config))]
    if getattr(config, "_out_indices", None) and not hasattr(config, "depths"):
        return list(range(min(count, max(2, len(config._out_indices)))))
    lists = [found for found in lists if len({str(kind) for kind in found}) <= 6]
    need = {(at, str(kind)) for at, found in enumerate(lists) for kind in found}
    upto = 2
    while upto < count and not need <= {(at, str(k)) for at, found in enumerate(lists) for k in found[:upto]}:
        upto += 1
    if upto <= 8:
        return list(range(min(upto, count)))
    return _one_of_each(lists, count)


def _one_of_each(lists: list[list[Any]], count: int) -> list[int]:
    picked: list[int] = []
    for found in lists:
        have = {str(found[i]) for i in picked}
        for i in range(count):
            if str(found[i]) not in have:
                have.add(str(found[i]))
                picked.append(i)
    return sorted(set(picked)) if len(picked) > 1 else [0, 1]


def _read(config: PretrainedConfig, name: str) -> Any:
    return vars(config)[name] if name in vars(config) else getattr(config, name, None)


def _list_names(config: PretrainedConfig) -> list[str]:
    extra = [
        name
        for name in ("layers_block_type", "layer_types")
        if name not in vars(config) and hasattr(type(config), name)
    ]
    return [*vars(config), *extra]


def _backbone(large: PretrainedConfig, new: Mapping[str, Any]) -> dict[str, Any]:
    """The stages a backbone gives out, where it has fewer layers now."""
    wanted = getattr(large, "_out_indices", None)
    count = new.get(_layers_name(large))
    if not wanted:
        return {}
    if not isinstance(count, int) or "depths" in vars(large):
        return {"out_indices": list(wanted)}
    return {"out_indices": list(range(count + 1))[-len(wanted) :]}


def _fit_rope(new: dict[str, Any], large: PretrainedConfig) -> None:
    """Sections of rotary angles have to add up to half a head."""
    rope = new.get("rope_parameters") or vars(large).get("rope_parameters")
    known = "mrope_section" in (getattr(large, "ignore_keys_at_rope_validation", None) or ())
    if not isinstance(rope, dict) or "rope_type" not in rope or not (known or "mrope_section" in rope):
        return
    half = int(_head_dim(new) * rope.get("partial_rotary_factor", 1.0)) // 2
    count = len(rope.get("mrope_section", (1, 1, 1)))
    section = [half // count] * count
    section[0] += half - sum(section)
    new["rope_parameters"] = {**rope, "mrope_section": section}


def _head_dim(new: dict[str, Any]) -> int:
    heads = next((new[name] for name in _HEAD_NAMES if isinstance(new.get(name), int) and new[name]), 1)
    width = next((new[name] for name in ("hidden_size", "d_model", "n_embd") if isinstance(new.get(name), int)), 32)
    return int(new.get("head_dim") or width // heads)


def _fill(new: dict[str, Any], large: PretrainedConfig) -> None:
    """Values that a model needs and its default config leaves open."""
    wanted: dict[str, Any] = {
        "head_dim": _head_dim(new),
        "num_experts_per_tok": 2,
        "prediction_length": 4,
        "num_key_value_heads": 4,
    }
    layers = new.get("num_hidden_layers")
    if isinstance(layers, int):
        wanted["layer_types"] = ["full_attention"] * layers
        wanted["mlp_layer_types"] = (["dense"] + ["sparse"] * layers)[:layers]
    for name, value in wanted.items():
        if name in new and new[name] is None and vars(large).get(name) is None:
            new[name] = value
