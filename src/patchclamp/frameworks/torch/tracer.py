"""A dispatch mode that carries shadows through every operation of torch.

Under inference mode it sees the high-level ones: linear, conv2d, layer_norm, scaled_dot_product_attention, lstm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import cache
from threading import get_ident
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from ...flow.flow import Flow
from ...flow.rules import unknown
from ...flow.shadow import Shadow
from .trace_store import Store
from .trace_weights import MOST, Weights

__all__ = ["Tracer", "is_view", "tensors"]

Rule = Callable[..., None]


class Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The shadows of one run: told of every operation, it finds the rule that holds for it.

    numbers  whether the run has numbers, and with them gains
    strict   whether a rule that fails is an error, rather than an operation of which nothing is known
    """

    strict = False

    def __init__(
        self,
        flow: Flow,
        weights: Weights,
        rules: tuple[Mapping[str, Rule], Mapping[Rule, Rule]],
        numbers: bool,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flow = flow
        self.weights = weights
        self.rules, self.complex = rules
        self.numbers = numbers
        self.store = Store()
        self.stack: list[str] = []
        self.before: dict[int, torch.Tensor] = {}
        """What operands were, by their identity, that the operation which runs writes over."""
        self.thread = get_ident()
        self.beneath = torch._C._len_torch_dispatch_stack() > 0
        """Whether other modes see what this one does."""
        self.scattered: dict[int, tuple[torch.Tensor, list[Shadow]]] = {}
        """Sparse and nested tensors, by their identity, and who is behind them."""
        self.opaque = 0
        """How many layers run now whose inside is not looked at."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        operands = list(_operands(args, kwargs))
        if any(map(_scattered, operands)):
            out = func(*args, **kwargs)
            self._beside(func, operands, out)
            return out
        shaded = [t for t in operands if self._known(t)]
        mutable = self.numbers and not self.opaque and func._schema.is_mutable
        over = written(func, args, kwargs) if mutable else []
        self.before = {id(t): t.clone() for t in operands if is_view(t, over, {})} if over else {}
        out = func(*args, **kwargs)
        if any(map(_scattered, tensors(out))):
            self._beside(func, operands, out)
        elif not self.opaque:
            signed = any(t.is_complex() or t.is_neg() for t in (*operands, *tensors(out)))
            with _disable_current_modes() if self.beneath else nullcontext(), _signs() if signed else nullcontext():
                self._followed(func, args, kwargs, out, shaded)
        return out

    def _followed(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any, shaded: list[torch.Tensor]
    ) -> None:
        """Where a rule does not fit what it meets, the operation is one of which nothing is known."""
        try:
            self._pass(func, args, kwargs, out, shaded)
        except Exception as error:
            if self.strict:
                raise RuntimeError(f"{func}: {error}") from error
            self.lost(func, out, [s for t in shaded if (s := self.shadow(t)) is not None])

    def _beside(self, func: Any, operands: Sequence[torch.Tensor], out: Any) -> None:
        """Of sparse and nested tensors it is known as a whole who is behind them, and what is made of them is lost."""
        behind = [shadow for tensor in operands for shadow in self._behind(tensor)]
        weigh = any(not _scattered(tensor) and self.weights.weighs(tensor) for tensor in operands)
        for value in tensors(out):
            if _scattered(value):
                self.scattered[id(value)] = (value, behind)
            elif value.is_floating_point() and (behind or weigh):
                self.lost(func, value, behind)
            else:
                self.store.see(value)

    def _behind(self, tensor: torch.Tensor) -> list[Shadow]:
        if _scattered(tensor):
            return self.scattered.get(id(tensor), (tensor, []))[1]
        shadow = self.shadow(tensor)
        return [] if shadow is None else [shadow]

    @property
    def in_norm(self) -> bool:
        """Whether a layer runs now that normalises: what is summed there is a statistic."""
        layers = self.flow.cells.model.layers
        found = (layers[name].kind for name in self.stack if name in layers)
        return any(kind is not None and kind.role == "norm" for kind in found)

    @property
    def here(self) -> str:
        """The innermost layer that runs now."""
        return self.stack[-1] if self.stack else ""

    def shadow(self, value: Any) -> Shadow | None:
        """Who stands behind a tensor; None behind anything else."""
        return self.store.get(value) if isinstance(value, torch.Tensor) else None

    def put(self, value: Any, shadow: Shadow | None) -> None:
        if isinstance(value, torch.Tensor):
            floating = value.is_floating_point() or value.is_complex()
            self.store.put(value, shadow if floating else None)

    def array(self, value: Any) -> Any:
        """The numbers that an operation was given as NumPy, or a number; None in a run without numbers."""
        if not isinstance(value, torch.Tensor):
            return value
        if not self.numbers or value.is_meta:
            return None
        value = self.before.get(id(value), value)
        wide = value.detach().to("cpu", torch.complex128 if value.is_complex() else torch.float64)
        return wide.resolve_conj().resolve_neg().numpy()

    def lost(self, func: Any, out: Any, shadows: Sequence[Shadow]) -> None:
        """An operation of which nothing is known: the answer says so by its name."""
        name = str(func.name() if hasattr(func, "name") else func).partition(".")[0]
        text = f"unknown from {name} at {self.here or 'the network itself'}"
        self.flow.note(text)
        for value in tensors(out):
            shape = (*value.shape, 2) if value.is_complex() else tuple(value.shape)
            self.put(value, unknown(self.flow, shadows, shape, text))

    def _known(self, tensor: torch.Tensor) -> bool:
        """Whether somebody stands behind an operand; an array of numbers that was never seen is of unknown origin."""
        if self.opaque or tensor in self.store:
            return self.store.shaded(tensor)
        if tensor.layout != torch.strided:
            return False
        if self.weights.origin(tensor) is None:
            self.store.see(tensor)
            if (tensor.is_floating_point() or tensor.is_complex()) and tensor.ndim and tensor.numel():
                text = f"unknown origin: an array of shape {tuple(tensor.shape)} at {self.here or 'the network itself'}"
                self.flow.note(text)
                shape = (*tensor.shape, 2) if tensor.is_complex() else tuple(tensor.shape)
                self.put(tensor, unknown(self.flow, (), shape, text))
        return self.store.shaded(tensor)

    def _pass(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any, shaded: list[torch.Tensor]
    ) -> None:
        over = written(func, args, kwargs)
        func, kwargs = _plain(func, kwargs)
        name = func._schema.name.partition("::")[2]
        self.weights.layer = self.here
        made = list(tensors(out))
        rule = self.rules.get(name)
        if rule is None and torch.Tag.pointwise in func.tags:
            rule = self.rules["pointwise"]
        if rule is not None and any(t.is_complex() for t in (*shaded, *made)):
            rule = self.complex.get(rule)
        if not shaded and name not in SOURCES:
            self._silent(func, args, kwargs, made)
        elif rule is not None:
            rule(self, func, args, kwargs, out)
        else:
            self._without_rule(func, args, kwargs, made, over)
        for value in made:
            self.store.see(value)

    def _without_rule(
        self, func: Any, args: Any, kwargs: Any, made: Sequence[torch.Tensor], over: Sequence[torch.Tensor]
    ) -> None:
        """What is composed of other operations is followed through these; views need nothing; the rest is lost."""
        if torch.Tag.inplace_view in func.tags:
            return
        if not over and all(is_view(value, args, kwargs) for value in made):
            return
        if not over and self.composed(func, args, kwargs, made):
            return
        results = [v for v in (*made, *over) if v.is_floating_point() or v.is_complex()]
        if results:
            operands = _operands(args, kwargs)
            self.lost(func, results, [s for t in operands if (s := self.shadow(t)) is not None])

    def composed(self, func: Any, args: Any, kwargs: Any, made: Sequence[torch.Tensor]) -> bool:
        """Follow an operation through those that torch composes it of, if it does."""
        with self:
            again = func.decompose(*args, **kwargs)
        if again is NotImplemented:
            return False
        for value, like in zip(made, tensors(again), strict=True):
            if not is_view(value, args, kwargs):
                self.put(value, self.shadow(like))
        return True

    def _silent(self, func: Any, args: Any, kwargs: Any, made: Sequence[torch.Tensor]) -> None:
        """Nobody stands behind the operands. What was made of weights alone are those weights, in another form."""
        if func._schema.is_mutable:
            for value in made:
                if self.shadow(value) is not None:
                    self.put(value, None)
        weights = [t for t in _operands(args, kwargs) if self.weights.origin(t) is not None]
        for value in made if weights else ():
            if not value.is_floating_point() or is_view(value, args, kwargs):
                continue
            like = [t for t in weights if t.shape == value.shape]
            name = func._schema.name.partition("::")[2]
            if name in PICKING and (name != "where" or len(weights) > 1):
                self._pick(func, args, kwargs, value)
            elif like:
                self.weights.made(max(like, key=lambda t: t.numel()), value)

    def _pick(self, func: Any, args: Any, kwargs: Any, value: torch.Tensor) -> None:
        """Weights are put together of weights, by numbers that a run of shapes alone does not have."""
        if self.numbers and value.numel() <= MOST:
            self.weights.gathered(value, self._picked(func, args, kwargs))
        else:
            self.weights.hide(value)

    def _picked(self, func: Any, args: Any, kwargs: Any) -> Any:
        """The operation carried out on the numbers of the elements instead of the elements."""

        def elements(value: Any) -> Any:
            if isinstance(value, torch.Tensor):
                if not value.is_floating_point():
                    return value.cpu()
                held = self.weights.origin(value) is not None
                return torch.from_numpy(self.weights.elements(value)) if held else torch.full(value.shape, -1)
            return type(value)(map(elements, value)) if isinstance(value, (list, tuple)) else value

        return func(*map(elements, args), **{key: elements(value) for key, value in kwargs.items()}).numpy()


_PICKING = """
cat concat stack index index_select gather repeat tile take_along_dim repeat_interleave flip fliplr flipud rot90 roll
where
"""
PICKING = frozenset(_PICKING.split())
"""Operations that put weights together to other weights."""
_NAMES = """
linear matmul mm bmm addmm addbmm baddbmm mv addmv dot einsum convolution _convolution conv1d conv2d conv3d
conv_transpose1d conv_transpose2d conv_transpose3d embedding embedding_bag bilinear lstm gru rnn_tanh rnn_relu
lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell _grouped_mm _scaled_mm fill_ zero_ copy_
"""
SOURCES = frozenset(_NAMES.split())
"""Operations that are looked at also where nobody stands behind their operands: they may use weights."""


ALIASES = {
    **{"subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div", "negative": "neg"},
    **{"absolute": "abs", "clip": "clamp", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctan2": "atan2"},
    **{"arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "expit": "sigmoid"},
}
"""Second names that torch has for an operation, of which the rules know the first."""


def _scattered(tensor: torch.Tensor) -> bool:
    """Whether a tensor has no single memory in which its elements lie: sparse or nested."""
    return tensor.layout != torch.strided or tensor.is_nested


def _signs() -> Any:
    """Within a dispatch mode torch does not see that a tensor is a conjugated or negated view; here it does."""
    keys = torch._C._dispatch_tls_local_exclude_set()
    for key in (torch._C.DispatchKey.Conjugate, torch._C.DispatchKey.Negative):
        keys = keys.remove(key)
    return torch._C._ForceDispatchKeyGuard(torch._C._dispatch_tls_local_include_set(), keys)


def _plain(func: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The operation under its first name, giving its result rather than writing it to `out`."""
    given, outs = _renamed(func)
    return given, {key: value for key, value in kwargs.items() if key not in outs} if outs else kwargs


@cache
def _renamed(func: Any) -> tuple[Any, frozenset[str]]:
    outs = frozenset(one.name for one in func._schema.arguments if one.is_out)
    name = func._schema.name.partition("::")[2]
    tail = name[len(name.rstrip("_")) :]
    stem = name.rstrip("_").removeprefix("special_")
    stem = ALIASES.get(stem, stem)
    if stem in ("max", "min") and func._overloadname in ("other", "out"):
        stem = f"{stem}imum"
    wanted = [(one.name, str(one.type)) for one in func._schema.arguments if one.name not in outs]
    for packet in (getattr(torch.ops.aten, stem + tail, None), func.overloadpacket):
        for overload in packet.overloads() if packet is not None else ():
            other = getattr(packet, overload)
            if [(one.name, str(one.type)) for one in other._schema.arguments] == wanted:
                return (func, frozenset()) if other is func else (other, outs)
    return func, frozenset()


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in nested lists, tuples and mappings, and in the fields of the outputs that libraries make."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors(item)
    elif hasattr(value, "__dataclass_fields__"):
        for field in value.__dataclass_fields__:
            yield from tensors(getattr(value, field))


def _operands(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[torch.Tensor]:
    """The tensors that an operation is given, by themselves or in a list."""
    for value in (*args, *kwargs.values()) if kwargs else args:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from (item for item in value if isinstance(item, torch.Tensor))


def written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[torch.Tensor]:
    """The operands that an operation writes over."""
    if not func._schema.is_mutable:
        return []
    given = dict(zip((one.name for one in func._schema.arguments), args, strict=False)) | kwargs
    names = (one.name for one in func._schema.arguments if one.alias_info is not None and one.alias_info.is_write)
    return list(_operands(tuple(given[name] for name in names if name in given), {}))


def is_view(value: torch.Tensor, args: Any, kwargs: Any) -> bool:
    key = value.untyped_storage()._cdata
    return any(t.untyped_storage()._cdata == key for t in _operands(args, kwargs) if t.layout == torch.strided)
