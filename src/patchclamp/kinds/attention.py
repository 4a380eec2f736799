"""Attention: heads with their queries, keys, values and outputs, as names for rows of the projections.

How many heads there are, and how wide, is read from the layer itself. Where a projection packs several things the line
says in which order: `(head part{query key value} neuron)` is GPT-NeoX's, `[query: ... | key: ... | value: ...]` is
Phi-3's.
"""

from __future__ import annotations

from collections.abc import Mapping

from .attention_names import BY_PART, GATED, LATENT, PLAIN, WITHIN_ATTENTION, WITHIN_SELF
from .named import Table
from .row import Kind, Part, View

_WIDTH = "head_dim|attention_head_size|head_size|key_value_proj_dim|dim_head|qk_channels_per_head"
_COUNT = "num_heads|num_attention_heads|n_heads|n_head|num_attn_heads|heads"
_QUERY = "q_proj|query|q|q_lin|linear_q|Wq|query_proj|project_q|to_q"
_KEY = "k_proj|key|k|k_lin|linear_k|Wk|key_proj|project_k|to_k"
_VALUE = "v_proj|value|v|v_lin|linear_v|Wv|value_proj|project_v|to_v"
_OUTPUT = (
    "o_proj|out_proj|o|linear_out|out_lin|dense|projection_layer|projection|attention_out|proj|Wo|c_proj|post|output"
)
_SIZES = {"neuron": _WIDTH, "head": _COUNT}


def _attention(views: Mapping[str, View | tuple[View, ...]], sizes: Mapping[str, str] = _SIZES) -> Kind:
    return Kind("", "attention", {}, sizes=sizes, views=views, noun="head")


def _inside(part: str, paths: str) -> str:
    """The same attributes of a part."""
    return "|".join(f"{part}.{path}" for path in paths.split("|"))


def _output(of: str = _OUTPUT) -> View:
    return View(of, side="in", noun="output")


def _shared(of: str) -> tuple[View, ...]:
    """Keys or values, of which there may be fewer heads where the layer states how wide a head is."""
    return View(of, "(kv neuron)", ("kv", "neuron")), View(of)


def _within(part: str) -> Kind:
    """Queries, keys and values in a part, the output projection beside it."""
    return _attention(
        {
            "query": View(_inside(part, _QUERY)),
            "key": _shared(_inside(part, _KEY)),
            "value": _shared(_inside(part, _VALUE)),
            "output": _output("output.dense"),
        },
        {axis: _inside(part, paths) for axis, paths in _SIZES.items()},
    )


def _packed(of: str, line: str, query: tuple[str, ...], key: tuple[str, ...], sizes: dict[str, str]) -> Kind:
    """Queries, keys and values in one projection, as its line names them in its parts."""
    parts = line[line.index("{") + 1 : line.index("}")].split() if "{" in line else ["query", "key", "value"]
    axes = {"query": query, "key": key, "value": key}
    views: dict[str, View | tuple[View, ...]] = {
        name: View(of, line, axes[name], {"part": parts.index(name)}) for name in ("query", "key", "value")
    }
    return _attention({**views, "output": _output()}, sizes)


_HEAD = ("head", "neuron")
_KV = ("kv", "neuron")
_PLAIN = _attention(
    {
        "query": View(_QUERY),
        "key": _shared(_KEY),
        "value": _shared(_VALUE),
        "output": _output(),
    }
)
_GATED = _attention(
    {
        "query": View("q_proj", "(head part{query gate} neuron)", _HEAD, {"part": 0}),
        "gate": View("q_proj", "(head part{query gate} neuron)", _HEAD, {"part": 1}),
        "key": View("k_proj", "(kv neuron)", _KV),
        "value": View("v_proj", "(kv neuron)", _KV),
        "output": _output(),
    }
)
_BY_PART = _packed(
    "qkv|query_key_value|Wqkv|att_proj|c_attn", "(part{query key value} head neuron)", _HEAD, _HEAD, _SIZES
)
_BY_HEAD = _packed("query_key_value", "(head part{query key value} neuron)", _HEAD, _HEAD, _SIZES)
_GROUPED = _packed(
    "query_key_value",
    "(kv [query: rep neuron | key: neuron | value: neuron])",
    ("kv", "rep", "neuron"),
    _KV,
    {"neuron": "head_dim", "kv": "num_kv_heads"},
)
_ROWS_OF_EACH = _packed(
    "qkv_proj|Wqkv|qkv",
    "[query: head neuron | key: kv neuron | value: kv neuron]",
    _HEAD,
    _KV,
    {"neuron": "head_dim", "head": "num_heads|config.num_attention_heads", "kv": "num_key_value_heads"},
)
_CODEGEN = _packed(
    "qkv_proj",
    "(block part{query value key} head neuron)",
    ("block", "head", "neuron"),
    ("block", "head", "neuron"),
    {"neuron": "head_dim", "block": "4"},
)
_GPT2_LINE = "(part{query key value} head neuron)"
_GPT2 = _attention(
    {
        "query": (View("q_attn"), View("c_attn", _GPT2_LINE, _HEAD, {"part": 0})),
        "key": (
            View("c_attn", _GPT2_LINE, _HEAD, {"part": 1}),
            View("c_attn", "(part{key value} head neuron)", _HEAD, {"part": 0}),
        ),
        "value": (
            View("c_attn", _GPT2_LINE, _HEAD, {"part": 2}),
            View("c_attn", "(part{key value} head neuron)", _HEAD, {"part": 1}),
        ),
        "output": _output("c_proj"),
    }
)
_BIGCODE = _attention(
    {
        name: (
            View("c_attn", "(head [query: neuron | key: neuron | value: neuron])", _HEAD, {"part": part}),
            View(
                "c_attn",
                "[query: head neuron | key: neuron | value: neuron]",
                ("neuron",) if part else _HEAD,
                {"part": part},
            ),
        )
        for part, name in enumerate(("query", "key", "value"))
    }
    | {"output": _output("c_proj")}
)
_LATENT = _attention(
    {
        "query": View("q_b_proj|q_proj", "(head neuron)", _HEAD),
        "key": View("kv_b_proj", "(head [key: nope | value: wide])", ("head", "nope"), {"part": 0}),
        "value": View("kv_b_proj", "(head [key: nope | value: wide])", ("head", "wide"), {"part": 1}),
        "latent": View("kv_a_proj_with_mqa", "[latent: neuron | rope: turned]", ("neuron",), {"part": 0}),
        "rope": View("kv_a_proj_with_mqa", "[latent: neuron | rope: turned]", ("turned",), {"part": 1}),
        "output": View("o_proj", "(head wide)", ("head", "wide"), side="in", noun="output"),
    },
    {"head": "num_heads", "nope": "qk_nope_head_dim", "wide": "v_head_dim", "turned": "qk_rope_head_dim"},
)

_PARTS = ("query", "key", "value")


def _part(number: int, name: str) -> Part:
    """Packed with the others where all read one size of input, else in an array of its own."""
    packed = f"(part{{{' '.join(_PARTS)}}} head neuron)"
    arrays = {"in_proj_weight": f"{packed} in", f"{name[0]}_proj_weight": "(head neuron) in", "in_proj_bias": packed}
    return Part(arrays, name, _HEAD, {"part": number})


ROWS = (
    Kind(
        "torch.nn.MultiheadAttention",
        "linear",
        {"out_proj.weight": "neuron in", "out_proj.bias": "neuron"},
        sizes={"head": "num_heads"},
        # Inside, whatever the layer is given, the axes are (step, batch, in).
        facts={"batch_first": False},
        called=True,
        apart={"bias_k": "a key that is added to every sequence", "bias_v": "a value that is added to every sequence"},
        others={name: _part(number, name) for number, name in enumerate(_PARTS)},
        views={"output": View("out_proj", side="in", noun="output")},
    ),
)

TABLE: Table = (
    (_PLAIN, PLAIN),
    (_GATED, GATED),
    (_within("self"), WITHIN_SELF),
    (_within("attention"), WITHIN_ATTENTION),
    (_BY_PART, BY_PART),
    (
        _BY_HEAD,
        "bloom.BloomAttention persimmon.PersimmonAttention gpt_neox.GPTNeoXAttention "
        "gpt_neox_japanese.GPTNeoXJapaneseAttention",
    ),
    (_GROUPED, "falcon.FalconAttention"),
    (
        _ROWS_OF_EACH,
        "phi3.Phi3Attention phi4_multimodal.Phi4MultimodalAttention dbrx.DbrxAttention "
        "exaone4_5.Exaone4_5_VisionAttention",
    ),
    (_CODEGEN, "codegen.CodeGenAttention"),
    (_GPT2, "gpt2.GPT2Attention imagegpt.ImageGPTAttention decision_transformer.DecisionTransformerGPT2Attention"),
    (_BIGCODE, "gpt_bigcode.GPTBigCodeAttention"),
    (_LATENT, LATENT),
)
