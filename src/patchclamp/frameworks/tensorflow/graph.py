"""The graph of a loaded SavedModel as one piece: which operations read its variables, and any tensor inside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, rewriter_config_pb2
from tensorflow.python.grappler import tf_optimizer
from tensorflow.python.ops import handle_data_util

__all__ = ["Graph", "Use", "read_by"]

_LOWERED = "_lower_using_switch_merge"
"""The mark of loops and branches that are taken apart into operations which give a value at some steps only."""
_AS_IS = frozenset({"Identity", "ReadVariableOp", "Cast", "StopGradient"})
_RESHAPED = _AS_IS | {"Reshape", "Squeeze", "ExpandDims"}
_SLOTS = {
    "MatMul": (0, 1),
    "Conv2D": (0, 1),
    "Conv3D": (0, 1),
    "DepthwiseConv2dNative": (0, 1),
    "Conv2DBackpropInput": (2, 1),
    "Conv3DBackpropInputV2": (2, 1),
    "ResourceGather": (1, 0),
    "GatherV2": (1, 0),
}
"""Operation -> the slots of what it reads and of its weight."""
_NORM = "FusedBatchNormV3"
_NORM_SLOTS = (1, 2, 3, 4)
"""Where it reads its scale, its offset, the mean and the variance."""
_ADDS = frozenset({"BiasAdd", "Add", "AddV2"})


@dataclass(frozen=True)
class Use:
    """One operation that reads a layer's arrays: the tensors that enter and leave, a bias being added, and how.

    `arrays` are the numbers of the arrays in the order of the kind's lines; None where the layer has none there.
    """

    op: str
    arrays: tuple[int | None, ...]
    enters: Any
    leaves: Any
    turned: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)


class Graph:
    """A concrete function whose calls of other functions are taken apart. Its variables are among what it is fed."""

    def __init__(self, function: Any) -> None:
        self.function = function
        definition = _inlined(function)
        self.feeds: list[Any] = []
        self.wrapped = tf.compat.v1.wrap_function(lambda: self._fill(definition), [])
        self.outputs = [self._tensor(one) for one in function.outputs]
        self.live = _above(self.outputs)

    def _fill(self, definition: Any) -> None:
        """Import the graph, with placeholders that know the shapes of their variables."""
        for one in self.function.inputs:
            fed = tf.compat.v1.placeholder(one.dtype, one.shape)
            handle_data_util.copy_handle_data(one, fed)
            self.feeds.append(fed)
        fed_to = {one.name: fed for one, fed in zip(self.function.inputs, self.feeds, strict=True)}
        tf.graph_util.import_graph_def(definition, input_map=fed_to, name="")

    @property
    def inputs(self) -> list[Any]:
        """The specs of what a caller gives, in order."""
        return list(self.function.inputs[: len(self.function.inputs) - len(self.function.captured_inputs)])

    def run(self, given: Sequence[Any], wanted: Sequence[Any]) -> list[Any]:
        """Tensors inside the graph, computed for an input. Only what they need is run."""
        pruned = self.wrapped.prune(self.feeds, list(wanted))
        found: list[Any] = pruned(*given, *self.function.captured_inputs)
        return found

    def resources(self) -> dict[int, Any]:
        """The feed that stands for each captured variable, by its place among these."""
        start = len(self.feeds) - len(self.function.captured_inputs)
        return dict(enumerate(self.feeds[start:]))

    def _tensor(self, like: Any) -> Any:
        return self.wrapped.graph.get_tensor_by_name(like.name)


def _inlined(function: Any) -> Any:
    """The graph without calls of functions: loops and branches stay whole, as nothing inside them has one value."""
    definition = function.graph.as_graph_def()
    every = (definition.node, *(inner.node_def for inner in definition.library.function))
    for node in (node for nodes in every for node in nodes):
        if _LOWERED in node.attr:
            node.attr[_LOWERED].b = False
    meta = tf.compat.v1.train.export_meta_graph(graph_def=definition, graph=function.graph)
    kept = meta_graph_pb2.CollectionDef()
    kept.node_list.value.extend(one.name for one in (*function.inputs, *function.outputs))
    meta.collection_def["train_op"].CopyFrom(kept)
    config = config_pb2.ConfigProto()
    rewriting = config.graph_options.rewrite_options
    rewriting.min_graph_nodes = -1
    rewriting.optimizers.append("function")
    rewriting.function_optimization = rewriter_config_pb2.RewriterConfig.AGGRESSIVE
    return tf_optimizer.OptimizeGraph(config, meta)


def _above(outputs: Sequence[Any]) -> set[Any]:
    """The operations that the outputs depend on."""
    found: set[Any] = set()
    waiting = [one.op for one in outputs]
    while waiting:
        op = waiting.pop()
        if op not in found:
            found.add(op)
            waiting.extend(one.op for one in op.inputs)
    return found


def read_by(graph: Graph, tensors: Mapping[int, Any]) -> tuple[list[Use], str]:
    """The uses of one layer's variables, by their numbers; and why it is not known what they are used for, if not."""
    weights: list[tuple[int, Any, bool]] = []
    added: dict[Any, tuple[int, Any]] = {}
    norms: dict[Any, dict[int, int]] = {}
    for number, start in tensors.items():
        for op, slot, stretched in _readers(graph, start):
            if op.type in _SLOTS and _SLOTS[op.type][1] == slot:
                weights.append((number, op, stretched))
            elif op.type in _ADDS:
                added[op.inputs[1 - slot].op] = number, op
            elif op.type == _NORM and slot in _NORM_SLOTS and not op.get_attr("is_training"):
                norms.setdefault(op, {})[slot] = number
            else:
                return [], f"{op.type} ({op.name}) reads it"
    if not weights and not added:
        return _agreed([_norm(op, slots) for op, slots in norms.items()])
    if norms or len({number for number, _, _ in weights}) != 1:
        return [], "several of its arrays are weights, or none is"
    known = [use for weight in weights if (use := _use(*weight, added)) is not None]
    if len(known) < len(weights):
        return [], "its weight is reshaped before it is used"
    if added:
        return [], f"{next(iter(added.values()))[1].type} adds one of its arrays to something else"
    return _agreed(known)


def _agreed(uses: list[Use]) -> tuple[list[Use], str]:
    alike = len({(use.op, use.arrays, use.turned) for use in uses}) < 2
    return (uses, "") if alike else ([], "it is used in several ways")


def _readers(graph: Graph, tensor: Any, stretched: bool = False) -> Iterator[tuple[Any, int, bool]]:
    """The operations that read a tensor, with the slot, and whether it was reshaped on the way."""
    for op in tensor.consumers():
        if op not in graph.live:
            continue
        slot = next(place for place, one in enumerate(op.inputs) if one is tensor)
        if op.type in _RESHAPED and slot == 0:
            yield from _readers(graph, op.outputs[0], stretched or op.type not in _AS_IS)
        else:
            yield op, slot, stretched


def _use(number: int, op: Any, stretched: bool, added: dict[Any, Any]) -> Use | None:
    """How an operation uses a weight. A Conv2D over a map of height 1 is what TensorFlow makes of a Conv1D."""
    enters, leaves, kind = op.inputs[_SLOTS[op.type][0]], op.outputs[0], op.type
    if stretched:
        if op.type != "Conv2D" or enters.op.type != "ExpandDims":
            return None
        squeezed = [one for one in leaves.consumers() if one.type == "Squeeze"]
        if len(squeezed) != 1:
            return None
        enters, leaves, kind = enters.op.inputs[0], squeezed[0].outputs[0], "Conv1D"
    bias = added.pop(leaves.op, None)
    if bias is not None:
        leaves = bias[1].outputs[0]
    turned = op.type == "MatMul" and bool(op.get_attr("transpose_b"))
    arrays = (number, *(() if bias is None else bias[:1]))
    return Use(kind, arrays, enters, leaves, turned, _config(op, kind))


def _norm(op: Any, slots: Mapping[int, int]) -> Use:
    form = "channels_first" if op.get_attr("data_format").decode().startswith("NC") else "channels_last"
    config = {"epsilon": float(op.get_attr("epsilon")), "data_format": form}
    return Use(op.type, tuple(slots.get(slot) for slot in _NORM_SLOTS), op.inputs[0], op.outputs[0], False, config)


def _config(op: Any, kind: str) -> dict[str, Any]:
    """What an operation states of a convolution, under Keras' words."""
    if "Conv" not in kind:
        return {}
    form = op.get_attr("data_format").decode()
    first = form.startswith("NC")
    axes = list(range(2, len(form)) if first else range(1, len(form) - 1))
    axes = axes[1:] if kind == "Conv1D" else axes
    sides = list(zip(*[iter(_explicit(op))] * 2, strict=True))
    padding = op.get_attr("padding").decode().lower()
    return {
        "strides": tuple(int(op.get_attr("strides")[axis]) for axis in axes),
        "padding": tuple(sides[axis] for axis in axes) if padding == "explicit" else padding,
        "dilation_rate": tuple(int(op.get_attr("dilations")[axis]) for axis in axes),
        "data_format": "channels_first" if first else "channels_last",
        **_groups(op, first),
    }


def _explicit(op: Any) -> Sequence[int]:
    try:
        found: Sequence[int] = op.get_attr("explicit_paddings")
    except ValueError:
        return ()
    return found


def _groups(op: Any, first: bool) -> dict[str, int]:
    """How many groups a convolution has: its input has so many times the channels that a filter reads."""
    if op.type == "DepthwiseConv2dNative" and (each := op.inputs[1].shape[-1]):
        return {"depth_multiplier": int(each)}
    if op.type not in ("Conv2D", "Conv3D"):
        return {}
    channels, reads = op.inputs[0].shape[1 if first else -1], op.inputs[1].shape[-2]
    return {"groups": int(channels) // int(reads)} if channels and reads else {}
