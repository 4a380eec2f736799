"""Which rule holds for which operation of torch: what is done element by element, moved, summed up and normed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ...flow.rules import along, joined, merged, normed, pointwise, pooled, reduced, retagged
from ...flow.shadow import Shadow
from .trace_products import PRODUCTS
from .tracer import Tracer, tensors

__all__ = ["RULES"]

Args = tuple[Any, ...]
Named = dict[str, Any]

LINEAR = frozenset("add add_ sub sub_ rsub mul mul_ div div_ neg neg_ clone _to_copy to lerp contiguous".split())
QUIET = frozenset("add add_ sub sub_ rsub clone _to_copy to contiguous neg neg_ copy_ where".split())
"""Operations that a path does not name."""


def _values(tracer: Tracer, func: Any, args: Args, kwargs: Named) -> list[Any]:
    return [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]


def _pointwise(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """Element by element. In place too: what stood there is replaced by what is made of it."""
    name = func._schema.name.partition("::")[2]
    for result in tensors(out):
        if not (result.is_floating_point() or result.is_complex()):
            tracer.put(result, None)
            continue
        shadows = [(at, s) for at, v in enumerate(args) if (s := tracer.shadow(v)) is not None]
        extra = [(key, s) for key, v in kwargs.items() if key != "out" and (s := tracer.shadow(v)) is not None]
        held = [(at, s) for at, s in [*shadows, *extra]]
        if not held:
            tracer.put(result, None)
            continue
        _touch(tracer, args, held[0][1], tuple(result.shape))
        word = _word(name, len(held))
        slopes = _slopes(tracer, name, func, args, kwargs, [at for at, _ in held])
        operands = [(shadow, slope) for (_, shadow), slope in zip(held, slopes, strict=True)]
        found = pointwise(tracer.flow, tuple(result.shape), operands, word)
        tracer.put(result, found)


def _word(name: str, count: int) -> tuple[str, ...]:
    base = name.rstrip("_")
    if base in ("add", "sub", "rsub"):
        return ("residual",) if count > 1 else ()
    if base == "mul":
        return ("product",) if count > 1 else ("scale",)
    if base == "div":
        return ("quotient",) if count > 1 else ("scale",)
    return () if name in QUIET else (base,)


def _touch(tracer: Tracer, args: Args, shadow: Shadow, shape: tuple[int, ...]) -> None:
    """A parameter meets an array: note which of its elements meet whom."""
    for value in args:
        if not isinstance(value, torch.Tensor) or tracer.weights.origin(value) is None or not value.ndim:
            continue
        wide = shadow.spread(shape)
        for axis in range(value.ndim):
            if value.shape[axis] > 1:
                home = tracer.weights.axis(value, axis)
                if home is not None:
                    path = tracer.weights.path(value)
                    tracer.flow.touched(path, home, wide, len(shape) - value.ndim + axis)


def _slopes(tracer: Tracer, name: str, func: Any, args: Args, kwargs: Named, at: Sequence[Any]) -> list[Any]:
    """The derivative of each element of the result by the element of an operand at its place."""
    if not tracer.numbers:
        return [None] * len(at)
    base = name.rstrip("_")
    if base in ("clone", "_to_copy", "to", "contiguous"):
        return [1.0] * len(at)
    if base in ("add", "sub") and len(args) > 1:
        factor = kwargs.get("alpha", 1) * (-1 if base == "sub" else 1)
        return [1.0 if one == 0 else float(factor) for one in at]
    if base == "mul" and all(isinstance(one, int) for one in at) and not _in_place(func):
        return [tracer.array(args[1 - one]) for one in at]
    if base == "relu" and not _in_place(func):
        return [tracer.array(args[0] > 0)]
    return _derived(tracer, func, args, kwargs, at)


def _in_place(func: Any) -> bool:
    return bool(func._schema.is_mutable)


def out_of_place(func: Any) -> Any:
    """The operation that gives its result rather than writing it over its operand."""
    name = func._schema.name.partition("::")[2]
    return getattr(torch.ops.aten, name[:-1]) if _in_place(func) and name.endswith("_") else func


def _derived(tracer: Tracer, func: Any, args: Args, kwargs: Named, at: Sequence[Any]) -> list[Any]:
    """By torch's own derivative of the operation, in float64.

    An operation in place has already written over its operand, of which the tracer keeps a copy.
    """
    plain = out_of_place(func)
    own = tracer.before if _in_place(func) else None
    found = []
    for one in at:
        with torch.inference_mode(False), torch.enable_grad():
            given = [_apart(own if place == 0 and own is not None else value) for place, value in enumerate(args)]
            named = {key: _apart(value) for key, value in kwargs.items() if key != "out"}
            shape = torch.broadcast_shapes(*(v.shape for v in (*given, *named.values()) if isinstance(v, torch.Tensor)))
            box: Any = given if isinstance(one, int) else named
            box[one] = box[one].expand(shape).clone().requires_grad_()
            result = plain(*given, **named)
            (slope,) = torch.autograd.grad(result.sum(), box[one], allow_unused=True)
        found.append(0.0 if slope is None else slope.numpy())
    return found


def _apart(value: Any) -> Any:
    """A copy of a tensor that a derivative can be taken by."""
    if not isinstance(value, torch.Tensor):
        return value
    copy = value.detach().to("cpu").clone()
    return copy.double() if copy.is_floating_point() else copy


def _moved(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """Elements go to other places: the operation itself is carried out on the planes of the first argument."""
    results = list(tensors(out))
    shadow = tracer.shadow(args[0])
    for number, result in enumerate(results):
        if shadow is None or _shares(result, args[0]):
            continue

        def do(plane: Any, number: int = number) -> Any:
            given = [_plain(value) for value in args[1:]]
            moved = func(_tensor(plane), *given, **{key: _plain(value) for key, value in kwargs.items()})
            return list(tensors(moved))[number].numpy()

        tracer.put(result, shadow.each(do))


def _shaped(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """A tensor in another shape. Where the positions of a map become features the path says so: flatten."""
    _moved(tracer, func, args, kwargs, out)
    shadow = tracer.shadow(out)
    if shadow is None or not 1 < out.ndim < args[0].ndim or not len(shadow.codes):
        return
    row = shadow.codes[0].reshape(-1, out.shape[-1])[0]
    row = row[row > 0]
    if row.size > len(np.unique(row)):
        tracer.put(out, retagged(tracer.flow, shadow, ("flatten",)))


def _shares(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.untyped_storage()._cdata == b.untyped_storage()._cdata


def _tensor(plane: Any) -> torch.Tensor:
    return torch.from_numpy(np.require(plane, requirements=["C", "W"]))


def _plain(value: Any) -> Any:
    """Indices as they are on the CPU; in a run without numbers there are none."""
    if isinstance(value, torch.Tensor):
        return value.cpu()
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    return value


def _padded(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """Elements of a margin are nobody's, or copies."""
    shadow = tracer.shadow(args[0])
    assert shadow is not None
    mode = args[2] if len(args) > 2 and isinstance(args[2], str) else "constant"
    given = [args[1]] if mode == "constant" else [args[1], mode]
    pad = torch.nn.functional.pad
    own = func if "reflection" in str(func) or "replication" in str(func) else None

    def do(plane: Any) -> Any:
        wide = _tensor(plane)
        exact = wide.double()
        moved = own(exact, args[1]) if own is not None else pad(exact, *given)
        return moved.to(wide.dtype).numpy()

    tracer.put(out, shadow.each(do))


def _joined(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    parts = list(args[0])
    shadows = [tracer.shadow(part) for part in parts]
    rest = args[1:]
    parts_shapes = [tuple(part.shape) for part in parts]
    found = joined(shadows, parts_shapes, lambda planes: func([_tensor(p) for p in planes], *rest, **kwargs).numpy())
    tracer.put(out, retagged(tracer.flow, found, ("concat",)))


def _chosen(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """where(mask, a, b)."""
    if len(args) < 3 or tracer.shadow(args[1]) is None and tracer.shadow(args[2]) is None:
        tracer.put(out, None)
        return
    shape = tuple(out.shape)
    mask = np.broadcast_to(args[0].cpu().numpy(), shape) if tracer.numbers else None
    shadows = [s.spread(shape) if (s := tracer.shadow(value)) is not None else None for value in args[1:3]]
    if mask is None:
        held = [(shadow, None) for shadow in shadows if shadow is not None]
        tracer.put(out, pointwise(tracer.flow, shape, held))
        return
    tracer.put(out, joined(shadows, [shape, shape], lambda planes: np.where(mask, planes[0], planes[1])))


def _masked(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """masked_fill(x, mask, value): what is filled is nobody's."""
    shadow = tracer.shadow(args[0])
    if shadow is not None and tracer.numbers:
        mask = args[1].cpu().numpy()
        shape = tuple(out.shape)
        shadow = shadow.spread(shape).each(lambda plane: np.where(np.broadcast_to(mask, shape), 0, plane))
    tracer.put(out, shadow)


def _copied(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    shadow = tracer.shadow(args[1])
    tracer.put(args[0], None if shadow is None else shadow.spread(tuple(args[0].shape)))


def _forgotten(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """What is made new, or filled with a number: nobody stands behind it."""
    for result in tensors(out):
        tracer.put(result, None)


def _same(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """The result is the first argument, or a view or a copy of it in the same form."""
    shadow = tracer.shadow(args[0])
    for result in tensors(out):
        if not _shares(result, args[0]):
            tracer.put(result, shadow if shadow is None else shadow.shaped(*result.shape))


def _dropped(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """Dropout: in training a factor of 0 or more for each element."""
    shadow = tracer.shadow(args[0])
    result = next(tensors(out))
    if shadow is None or _shares(result, args[0]):
        return
    given, made = tracer.array(args[0]), tracer.array(result)
    slope = None if given is None else np.divide(made, given, out=np.zeros_like(given), where=given != 0)
    tracer.put(result, pointwise(tracer.flow, tuple(result.shape), [(shadow, slope)], ("dropout",)))


def _axes(given: Any, rank: int) -> list[int]:
    if given is None or given == []:
        return list(range(rank))
    return [axis % rank for axis in (given if isinstance(given, (list, tuple)) else [given])] if rank else []


def _argument(func: Any, args: Args, kwargs: Named, name: str, default: Any = None) -> Any:
    """An argument by its name, wherever it was given."""
    for at, one in enumerate(func._schema.arguments):
        if one.name == name:
            return args[at] if at < len(args) else kwargs.get(name, default if not one.has_default_value() else one.default_value)
    return default


def _summed(mean: bool, word: str) -> Callable[..., None]:
    def rule(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
        shadow = tracer.shadow(args[0])
        assert shadow is not None
        axes = _axes(_argument(func, args, kwargs, "dim"), args[0].ndim)
        count = int(np.prod([args[0].shape[axis] for axis in axes]))
        weight = (1.0 / max(count, 1) if mean else 1.0) if tracer.numbers else None
        found = reduced(tracer.flow, shadow, axes, weight, (word,) if word else ())
        tracer.put(out, found.shaped(*out.shape))

    return rule


def _gathered(word: str) -> Callable[..., None]:
    """Reductions that are no sums: by torch's own derivative, for a shift of all elements at once."""

    def rule(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
        shadow = tracer.shadow(args[0])
        assert shadow is not None
        axes = _axes(_argument(func, args, kwargs, "dim"), args[0].ndim)
        weight = None
        if tracer.numbers:
            with torch.inference_mode(False), torch.enable_grad():
                given = _apart(args[0]).requires_grad_()
                result = next(tensors(func(given, *args[1:], **kwargs)))
                (slope,) = torch.autograd.grad(result.sum(), given, allow_unused=True)
            weight = 0.0 if slope is None else slope.numpy()
        found = reduced(tracer.flow, shadow, axes, weight, (word,))
        for result in tensors(out):
            if result.is_floating_point():
                tracer.put(result, found.shaped(*result.shape))

    return rule


def _along(word: str) -> Callable[..., None]:
    def rule(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
        shadow = tracer.shadow(args[0])
        assert shadow is not None
        dim = _argument(func, args, kwargs, "dim", -1)
        axes = _axes(dim, args[0].ndim)
        found = along(tracer.flow, shadow, axes, (word,))
        for result in tensors(out):
            if result.is_floating_point():
                shape = tuple(result.shape)
                fits = found.each(lambda plane: plane[tuple(slice(0, n) for n in shape)])
                tracer.put(result, fits)

    return rule


def _running_sum(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """cumsum: each element sums those before it; of one neuron's elements the way stays direct."""
    shadow = tracer.shadow(args[0])
    assert shadow is not None
    axis = _axes(_argument(func, args, kwargs, "dim", 0), args[0].ndim)[0]
    moved = np.moveaxis(shadow.codes, axis + 1, -1)
    if shadow.mixed is None and (moved == moved[..., :1]).all():
        gains = None if shadow.gains is None else np.cumsum(shadow.gains, axis=axis + 1)
        tracer.put(out, retagged(tracer.flow, Shadow(shadow.codes, gains), ("cumsum",)))
        return
    tracer.put(out, along(tracer.flow, shadow, [axis], ("cumsum",)))


def _per_feature(value: Any, shape: Sequence[int], axis: int) -> Any:
    """Numbers of one axis, in a form that broadcasts over the others."""
    return 1.0 if value is None else value.reshape([-1 if i == axis else 1 for i in range(len(shape))])


def _layer_norm(word: str) -> Callable[..., None]:
    def rule(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
        shadow = tracer.shadow(args[0])
        assert shadow is not None
        x, sizes = args[0], _argument(func, args, kwargs, "normalized_shape")
        axes = list(range(x.ndim - len(sizes), x.ndim))
        weight, eps = (_argument(func, args, kwargs, name) for name in ("weight", "eps"))
        slope = None
        if tracer.numbers:
            given = tracer.array(x)
            eps = torch.finfo(x.dtype).eps if eps is None else eps
            centred = given if "rms" in word else given - given.mean(axis=tuple(axes), keepdims=True)
            scale = 1 / np.sqrt((centred**2).mean(axis=tuple(axes), keepdims=True) + eps)
            slope = np.broadcast_to(scale, given.shape) * (1.0 if weight is None else tracer.array(weight))
        _touch(tracer, tuple(v for v in (weight, _argument(func, args, kwargs, "bias")) if v is not None), shadow, tuple(x.shape))
        tracer.put(next(tensors(out)), normed(tracer.flow, shadow, axes, slope, (word,)))

    return rule


def _batch_norm(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    x = args[0]
    shadow = tracer.shadow(x)
    assert shadow is not None
    weight, bias, mean, var = (_argument(func, args, kwargs, n) for n in ("weight", "bias", "running_mean", "running_var"))
    training = _argument(func, args, kwargs, "training", _argument(func, args, kwargs, "use_input_stats"))
    eps = _argument(func, args, kwargs, "eps", 1e-5)
    for value in (weight, bias, mean, var):
        if value is not None and tracer.weights.origin(value) is not None and value.shape[0] == shadow.shape[1]:
            tracer.flow.touched(tracer.weights.path(value), 0, shadow, 1)
    own = "instance" in func._schema.name
    axes = [axis for axis in range(x.ndim) if axis != 1 and not (own and axis == 0)]
    slope = None
    if tracer.numbers:
        given = tracer.array(x)
        spread = given.var(axis=tuple(axes), keepdims=True) if training else _per_feature(tracer.array(var), x.shape, 1)
        scale = 1 / np.sqrt(spread + eps) * _per_feature(tracer.array(weight), x.shape, 1)
        slope = np.broadcast_to(scale, given.shape)
    word = "instance_norm" if own else "batch_norm"
    if training:
        found = normed(tracer.flow, shadow, axes, slope, (word,))
    else:
        found = pointwise(tracer.flow, tuple(x.shape), [(shadow, slope)], (word,))
    tracer.put(next(tensors(out)), found)


def _group_norm(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    x = args[0]
    shadow = tracer.shadow(x)
    assert shadow is not None
    groups, weight, bias = (_argument(func, args, kwargs, n) for n in ("num_groups", "weight", "bias"))
    eps = _argument(func, args, kwargs, "eps", 1e-5)
    for value in (weight, bias):
        if value is not None and tracer.weights.origin(value) is not None:
            tracer.flow.touched(tracer.weights.path(value), 0, shadow, 1)
    split = (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])
    axes = list(range(2, len(split)))
    slope = None
    if tracer.numbers:
        given = tracer.array(x).reshape(split)
        scale = 1 / np.sqrt(given.var(axis=tuple(axes), keepdims=True) + eps)
        wide = np.broadcast_to(scale, split).reshape(x.shape)
        slope = (wide * _per_feature(tracer.array(weight), x.shape, 1)).reshape(split)
    found = normed(tracer.flow, shadow.shaped(*split), axes, slope, ("group_norm",))
    tracer.put(next(tensors(out)), found.shaped(*x.shape))


def _pooled(word: str, highest: Callable[..., Any] | None = None) -> Callable[..., None]:
    """Windows: the greatest number of each, or their mean."""

    def rule(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
        x, shadow = args[0], tracer.shadow(args[0])
        assert shadow is not None
        result = next(tensors(out))
        batched = x.ndim == _rank(func) + 2
        planes = shadow if batched else shadow.shaped(1, *x.shape)

        def top(plane: Any) -> Any:
            wide = _tensor(plane)
            return next(tensors((highest or _max_like)(func, wide, args, kwargs))).numpy()

        gain = None
        if tracer.numbers:
            gain = _pool_gain(tracer, func, args, kwargs, batched)
        found = pooled(tracer.flow, planes, top, gain, (word,))
        tracer.put(result, found.shaped(*result.shape))

    return rule


def _rank(func: Any) -> int:
    return next(int(letter) for letter in func._schema.name if letter.isdigit())


def _max_like(func: Any, x: torch.Tensor, args: Args, kwargs: Named) -> Any:
    """The maximum over the windows of a pool."""
    name, rank = func._schema.name, _rank(func)
    f = torch.nn.functional
    if "adaptive" in name:
        pool: Any = getattr(f, f"adaptive_max_pool{rank}d")
        return pool(x, args[1])
    pool = getattr(f, f"max_pool{rank}d")
    size, stride, padding, ceil, dilation = (
        _argument(func, args, kwargs, n) for n in ("kernel_size", "stride", "padding", "ceil_mode", "dilation")
    )
    return pool(x, size, stride or None, padding or 0, dilation or 1, bool(ceil))


def _pool_gain(tracer: Tracer, func: Any, args: Args, kwargs: Named, batched: bool) -> Callable[[Any], Any]:
    """How a plane of gains is pooled: by the pool itself where it is a mean, else taken where the greatest stands."""
    if "max" not in func._schema.name:
        return lambda plane: next(tensors(func(_tensor(plane), *args[1:], **kwargs))).numpy()
    rank = _rank(func)
    x = args[0].detach().to("cpu", torch.float64)
    x = x if batched else x[None]
    f: Any = torch.nn.functional
    if "adaptive" in func._schema.name:
        _, index = getattr(f, f"adaptive_max_pool{rank}d")(x, args[1], return_indices=True)
    else:
        size, stride, padding, ceil, dilation = (
            _argument(func, args, kwargs, n) for n in ("kernel_size", "stride", "padding", "ceil_mode", "dilation")
        )
        _, index = getattr(f, f"max_pool{rank}d_with_indices")(x, size, stride or None, padding or 0, dilation or 1, bool(ceil))
    flat = index.flatten(2)

    def gain(plane: Any) -> Any:
        return _tensor(plane).flatten(2).gather(2, flat).view(index.shape).numpy()

    return gain


def _resized(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """Maps made larger or smaller: each element of the result is a mean of elements of its own channel."""
    shadow = tracer.shadow(args[0])
    assert shadow is not None
    flat = shadow.codes.reshape(*shadow.codes.shape[:3], -1)
    if shadow.mixed is not None or not (flat == flat[..., :1]).all():
        if "nearest" not in func._schema.name:
            tracer.lost(func, out, [shadow])
            return
        tracer.put(out, shadow.each(lambda plane: func(_tensor(plane).double(), *args[1:], **kwargs).numpy().astype(plane.dtype)))
        return
    codes = np.broadcast_to(flat[..., :1].reshape(*flat.shape[:3], *(1,) * (out.ndim - 2)), (len(flat), *out.shape))
    gains = None
    if shadow.gains is not None:
        gains = np.stack([func(_tensor(plane), *args[1:], **kwargs).numpy() for plane in shadow.gains])
    tracer.put(out, retagged(tracer.flow, Shadow(codes, gains), ("upsample",)))


def _glu(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    shadow = tracer.shadow(args[0])
    assert shadow is not None
    x, axis = args[0], _axes(_argument(func, args, kwargs, "dim", -1), args[0].ndim)[0]
    half = x.shape[axis] // 2
    parts = [shadow.each(lambda plane, start=start: np.take(plane, range(start, start + half), axis)) for start in (0, half)]
    slopes: list[Any] = [None, None]
    if tracer.numbers:
        first, second = (np.take(tracer.array(x), range(start, start + half), axis) for start in (0, half))
        gate = 1 / (1 + np.exp(-second))
        slopes = [gate, first * gate * (1 - gate)]
    held = list(zip(parts, slopes, strict=True))
    tracer.put(out, pointwise(tracer.flow, tuple(out.shape), held, ("glu",)))


def _prelu(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    shadow = tracer.shadow(args[0])
    assert shadow is not None
    x, weight = args[0], args[1]
    slope = None
    if weight.numel() > 1 and tracer.weights.origin(weight) is not None:
        tracer.flow.touched(tracer.weights.path(weight), 0, shadow, 1)
    if tracer.numbers:
        factor = _per_feature(tracer.array(weight).ravel(), x.shape, 1 if x.ndim > 1 else 0)
        slope = np.where(tracer.array(x) > 0, 1.0, factor)
    tracer.put(out, pointwise(tracer.flow, tuple(out.shape), [(shadow, slope)], ("prelu",)))


def _scattered(tracer: Tracer, func: Any, args: Args, kwargs: Named, out: Any) -> None:
    """index_add, index_copy, scatter, index_put, slice_scatter: one array laid into another at some places."""
    name = func._schema.name.partition("::")[2].rstrip("_")
    base = tracer.shadow(args[0])
    part_at = next(at for at in range(len(args) - 1, 0, -1) if isinstance(args[at], torch.Tensor))
    part = tracer.shadow(args[part_at])
    adds = "add" in name or (name == "index_put" and bool(_argument(func, args, kwargs, "accumulate", False)))
    shape = tuple(args[0].shape)
    target = next(tensors(out))
    if not tracer.numbers and any(isinstance(v, torch.Tensor) and v.is_meta for v in args):
        tracer.lost(func, [target], [s for s in (base, part) if s is not None])
        return
    plain = out_of_place(func)
    if "add" in name:
        plain = {"index_add": torch.index_copy, "scatter_add": torch.scatter}[name]
    given = [_plain(value) for value in args]
    named = {key: value for key, value in kwargs.items() if key not in ("alpha",)}
    if name == "index_put":
        plain, named = torch.index_put, {}
        given = given[:3]

    def laid(under: Any, over: Any) -> Any:
        own = list(given)
        own[0], own[part_at] = _tensor(under), _tensor(over).expand(args[part_at].shape)
        return plain(*own, **named).numpy()

    laid_shapes = [shape, tuple(args[part_at].shape)]
    if adds:
        found = base
        if part is not None:
            there = joined([None, part], laid_shapes, lambda planes: laid(planes[0], planes[1]))
            found = there if base is None else merged(tracer.flow, base, there)
    elif base is None and part is None:
        found = None
    else:
        found = joined([base, part], laid_shapes, lambda planes: laid(planes[0], planes[1]))
    tracer.put(target, found)


def _table() -> dict[str, Callable[..., None]]:
    rules: dict[str, Callable[..., None]] = {"pointwise": _pointwise}

    def all_of(names: str, rule: Callable[..., None]) -> None:
        rules.update(dict.fromkeys(names.split(), rule))

    all_of("add add_ sub sub_ mul mul_ div div_ gelu silu relu relu_ leaky_relu hardtanh hardswish hardsigmoid relu6 "
           "celu selu elu mish rrelu softplus logit clamp clip _to_copy clone addcmul addcdiv lerp hardtanh_ relu6_ "
           "hardswish_ hardsigmoid_ silu_ leaky_relu_ elu_ selu_ mish_ log_sigmoid softshrink square rsqrt pow "
           "float_power nan_to_num square_", _pointwise)
    all_of("to contiguous type_as alias detach view_as _unsafe_view reshape flatten unflatten view expand expand_as "
           "reshape_as ravel _reshape_alias lift_fresh lift unsqueeze squeeze dropout_view", _moved)
    all_of("reshape flatten view _unsafe_view _reshape_alias ravel", _shaped)
    all_of("repeat tile repeat_interleave index_select gather index take_along_dim roll flip fliplr flipud rot90 "
           "pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle tril triu diagonal_copy select_copy "
           "slice_copy movedim moveaxis swapaxes swapdims transpose permute t T chunk split split_with_sizes unbind "
           "tensor_split narrow select slice masked_select unfold_copy atleast_1d atleast_2d atleast_3d hsplit vsplit "
           "unsafe_split unsafe_chunk view_as_complex view_as_real diag diag_embed rename squeeze_copy", _moved)
    all_of("constant_pad_nd pad reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d "
           "replication_pad3d", _padded)
    all_of("cat concat concatenate stack hstack vstack dstack column_stack", _joined)
    all_of("where", _chosen)
    all_of("masked_fill masked_fill_", _masked)
    all_of("copy_", _copied)
    all_of("fill_ zero_ zeros_like ones_like full_like empty_like rand_like randn_like new_zeros new_ones new_full "
           "new_empty bernoulli normal_ uniform_ bernoulli_ new_empty_strided argmax argmin _shape_as_tensor "
           "one_hot sign round floor ceil", _forgotten)
    all_of("dropout dropout_ native_dropout feature_dropout alpha_dropout feature_alpha_dropout", _dropped)
    all_of("mean", _summed(True, "pool:mean"))
    all_of("sum", _summed(False, "sum"))
    all_of("amax amin max min logsumexp norm linalg_vector_norm var std prod var_mean std_mean median nansum "
           "aminmax", _gathered("reduce"))
    all_of("softmax _softmax log_softmax _log_softmax softmin sort topk cummax cumprod kthvalue "
           "_safe_softmax local_response_norm renorm", _along("softmax"))
    all_of("cumsum", _running_sum)
    all_of("layer_norm native_layer_norm", _layer_norm("layer_norm"))
    all_of("rms_norm _fused_rms_norm", _layer_norm("rms_norm"))
    all_of("batch_norm native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm "
           "instance_norm _batch_norm_impl_index", _batch_norm)
    all_of("group_norm native_group_norm", _group_norm)
    for rank in (1, 2, 3):
        all_of(f"max_pool{rank}d max_pool{rank}d_with_indices adaptive_max_pool{rank}d", _pooled("pool:max"))
        all_of(f"avg_pool{rank}d adaptive_avg_pool{rank}d _adaptive_avg_pool{rank}d", _pooled("pool:mean"))
    all_of("upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_bilinear2d upsample_linear1d "
           "upsample_trilinear3d upsample_bicubic2d _upsample_nearest_exact2d _upsample_bilinear2d_aa "
           "_upsample_nearest_exact1d", _resized)
    all_of("glu", _glu)
    all_of("prelu", _prelu)
    all_of("index_add index_add_ index_copy index_copy_ scatter scatter_ scatter_add scatter_add_ index_put index_put_ "
           "slice_scatter select_scatter masked_scatter masked_scatter_", _scattered)
    return {**rules, **PRODUCTS}


RULES = _table()
