"""The names that a checkpoint calls to make tensors, arrays and containers, and what each gives, as a symbol.

Source: `torch/_utils.py`, `torch/_tensor.py`, `torch/jit/_pickle.py`, and NumPy's `multiarray` and `numeric`. What a
tensor says of itself is checked here against the storage that it looks at.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from ...arrays import DTYPES
from .allowed import may_stand
from .symbols import DTYPE_NAMES, Made, Name, NumpyArray, NumpyType, Refusal, Region, Sparse, Table, Tensor, said

__all__ = ["MAKERS", "item_size", "placed", "reach"]

Maker = Callable[[Any, tuple[Any, ...]], Any]
_AXES = 64
_MOST = 1 << 63
_SIZES = {name: kind.size for name, kind in DTYPES.items()} | {"qint8": 1, "quint8": 1, "qint32": 4}
_SIZES |= {"complex32": 4, "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1}


def item_size(dtype: str) -> int:
    """Bytes of one number; 0 where several share a byte."""
    return _SIZES.get(dtype, 0)


# Tensors


def view(region: Region, offset: int, shape: Any, strides: Any, dtype: str = "") -> Tensor:
    """A view of a storage, which must lie in it."""
    if type(region) is not Region:
        raise Refusal(f"a tensor looks at a {type(region).__name__.lower()}, which is no storage")
    return placed(region, offset, shape, strides, reach(shape, strides), dtype)


def reach(shape: Any, strides: Any) -> int:
    """How many numbers lie from the first of a tensor to its last; 0 for one that has none."""
    if type(shape) is not tuple or type(strides) is not tuple or len(shape) != len(strides) or len(shape) > _AXES:
        raise Refusal("a tensor has no shape, or not as many strides as axes")
    end = 1
    for extent, stride in zip(shape, strides, strict=True):
        if type(extent) is not int or type(stride) is not int or extent < 0 or stride < 0:
            raise Refusal(f"a tensor has the extent {said(extent)} with the stride {said(stride)}")
        end += (extent - 1) * stride
    if prod(shape) >= _MOST or max(shape, default=0) >= _MOST:
        raise Refusal(f"a tensor has more numbers than can be counted: {list(shape)[:8]}"[:300])
    return 0 if 0 in shape else end


def placed(region: Region, offset: int, shape: Any, strides: Any, count: int, dtype: str = "") -> Tensor:
    """The same where it is known how many numbers it reaches over."""
    if type(offset) is not int or offset < 0:
        raise Refusal(f"a tensor begins at {said(offset)} of its storage")
    dtype = dtype or region.dtype or "uint8"
    size = _SIZES.get(dtype, 0)
    if count and (offset + count) * size > region.nbytes:
        reason = f"a tensor of shape {list(shape)[:8]} reaches byte {(offset + count) * size:,}"
        raise Refusal(f"{reason} of a storage of {region.nbytes:,}"[:300])
    return Tensor(region, offset, shape, strides, dtype)


def _v2(machine: Any, given: tuple[Any, ...]) -> Tensor:
    made = view(given[0], given[1], given[2], given[3])
    if len(given) > 6 and given[6]:
        _bits(made, given[6])
    elif len(given) < 6:
        raise ValueError("fewer than 6 arguments")
    return made


def _v1(machine: Any, given: tuple[Any, ...]) -> Tensor:
    region, offset, shape, strides = given
    return view(region, offset, shape, strides)


def _v3(machine: Any, given: tuple[Any, ...]) -> Tensor:
    made = view(given[0], given[1], given[2], given[3], _dtype(given[6]))
    if len(given) > 7 and given[7]:
        _bits(made, given[7])
    return made


def _bits(made: Tensor, given: Any) -> None:
    """Marks that the numbers are yet to be conjugated or negated."""
    if type(given) is not Table:
        raise Refusal("a tensor is given marks that are no dict")
    if any(value for _, value in given):
        made.why = "its numbers are stored before a conjugation or negation that is yet to be done"


def _dtype(given: Any) -> str:
    if type(given) is not Name or given.path not in DTYPE_NAMES:
        raise Refusal(f"a tensor has {said(given)} as its element type")
    return DTYPE_NAMES[given.path]


def _quantised(machine: Any, given: tuple[Any, ...]) -> Tensor:
    made = view(given[0], given[1], given[2], given[3])
    scheme, *steps = given[4]
    word = scheme.name if type(scheme) is Name else ""
    if word == "per_tensor_affine":
        scale, zero = steps
        if type(scale) is not float or type(zero) is not int or abs(zero) >= 1 << 31:
            raise Refusal("a quantised tensor has a step that is no number")
    elif word in ("per_channel_affine", "per_channel_affine_float_qparams"):
        scales, zeros, axis = steps
        if type(axis) is not int or not 0 <= axis < len(made.shape):
            raise Refusal(f"a quantised tensor has its steps along axis {said(axis)} of {len(made.shape)}")
        if _count(scales) != made.shape[axis] or _count(zeros) != made.shape[axis]:
            raise Refusal("a quantised tensor has not one step for each index of its axis")
    else:
        raise Refusal(f"a tensor is quantised by the scheme {said(scheme)}, which is not known")
    made.steps = (word, *steps)
    return made


def _count(steps: Any) -> int:
    """How many steps there are: those of a list of numbers, or of a tensor with one axis."""
    if type(steps) is list:
        return len(steps) if all(type(step) in (int, float) for step in steps) else -1
    plain = type(steps) is Tensor and len(steps.shape) == 1 and steps.dtype in ("float32", "float64", "int64", "int32")
    return steps.shape[0] if plain else -1


def _parameter(machine: Any, given: tuple[Any, ...]) -> Any:
    return given[0] if type(given[0]) in (Tensor, Sparse) else machine.opaque(_UNKNOWN, given)


def _of_type(machine: Any, given: tuple[Any, ...]) -> Any:
    """A tensor of a class of its own: what it is made from, which that class may see otherwise."""
    function, of, arguments, _ = given
    maker = _TENSORS.get(function.path)
    if maker is None or type(of) is not Name:
        raise Refusal(f"loading it would call {function.path[:120]} for a tensor of the class {of.path[:120]}")
    made = maker(machine, arguments)
    if of.path not in _PLAIN_CLASSES:
        may_stand(of)
        machine.made[of.path] = machine.made.get(of.path, 0) + 1
        if type(made) is Tensor:
            made.note = f"a tensor of the class {of.path[:120]}; its numbers are read as they are stored"
    return made


def _wrapper(machine: Any, given: tuple[Any, ...]) -> Tensor:
    """A tensor whose class computes its numbers: nothing of it is stored here."""
    of, dtype, shape, strides = given[:4]
    found = _without(_dtype(dtype), shape, strides)
    found.why = f"{of.path[:120]} computes its numbers; they are not stored"
    return found


def _meta(machine: Any, given: tuple[Any, ...]) -> Tensor:
    found = _without(_dtype(given[0]), given[1], given[2])
    found.why = "it was saved on the meta device, without numbers"
    return found


def _without(dtype: str, shape: Any, strides: Any) -> Tensor:
    """A tensor without a storage."""
    made = view(Region("", dtype, _MOST), 0, shape, strides, dtype)
    made.region = None
    return made


def _sparse(machine: Any, given: tuple[Any, ...]) -> Sparse:
    layout, data = given
    word = (layout.name if type(layout) is Name else layout if type(layout) is str else "").rpartition(".")[2]
    if word not in _LAYOUTS:
        raise Refusal(f"a sparse tensor has the layout {said(layout)}")
    words = _LAYOUTS[word]
    if len(data) <= len(words) or not all(type(part) is Tensor for part in data[: len(words)]):
        raise Refusal("a sparse tensor has not the parts that its layout has")
    shape = data[len(words)]
    if type(shape) is not tuple or not all(type(extent) is int for extent in shape):
        raise Refusal("a sparse tensor has no shape")
    return Sparse(word, shape, dict(zip(words, data, strict=False)))


_LAYOUTS = {
    "sparse_coo": ("indices", "values"),
    "sparse_csr": ("crow_indices", "col_indices", "values"),
    "sparse_csc": ("ccol_indices", "row_indices", "values"),
    "sparse_bsr": ("crow_indices", "col_indices", "values"),
    "sparse_bsc": ("ccol_indices", "row_indices", "values"),
}
"""Layout -> its parts, by the names that torch gives them."""


def _of_numpy(machine: Any, given: tuple[Any, ...]) -> Any:
    """A tensor of a device that stores through NumPy (XLA, MPS)."""
    data, dtype = given[:2]
    if type(data) not in (NumpyArray, Tensor):
        raise Refusal("a tensor is made from what is no array")
    _dtype(dtype)
    return data


def _nested(machine: Any, given: tuple[Any, ...]) -> Any:
    return list(given[:1])


# NumPy


def _numpy_array(machine: Any, given: tuple[Any, ...]) -> NumpyArray:
    of, _, _ = given
    if type(of) is not Name or of.path != "numpy.ndarray":
        raise Refusal(f"a NumPy array is of the class {said(of)}")
    return NumpyArray()


def _numpy_type(machine: Any, given: tuple[Any, ...]) -> NumpyType:
    if type(given[0]) is not str or len(given[0]) > 20:
        raise Refusal("a NumPy element type is given what it does not take")
    return NumpyType(given[0])


def _numpy_buffer(machine: Any, given: tuple[Any, ...]) -> NumpyArray:
    made = NumpyArray()
    made.data, made.dtype, made.shape, order = given
    made.fortran = order == "F"
    if type(made.dtype) is not NumpyType:
        raise Refusal("a NumPy array is given no element type")
    return made


def _numpy_number(machine: Any, given: tuple[Any, ...]) -> Made:
    return Made(_NUMBER, given)


# Containers and instances


def _table(machine: Any, given: tuple[Any, ...]) -> Table:
    """A dict, from nothing or from pairs."""
    made = Table()
    for pairs in given:
        if type(pairs) is Table:
            made.extend(pairs)
        elif type(pairs) in (list, tuple) and all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
            made.extend((key, value) for key, value in pairs)
        elif type(pairs) is not Name and pairs is not None:
            raise Refusal("a dict is made from what are no pairs")
    return made


def _list(machine: Any, given: tuple[Any, ...]) -> list[Any]:
    first = given[0] if given else []
    return list(first) if type(first) in (list, tuple) else [first]


def _tuple(machine: Any, given: tuple[Any, ...]) -> Any:
    first = given[0] if given else ()
    return tuple(first) if type(first) in (list, tuple) else first


def _first(machine: Any, given: tuple[Any, ...]) -> Any:
    return given[0]


def _raw(machine: Any, given: tuple[Any, ...]) -> Any:
    """Bytes as protocol 2 writes them: text in latin-1."""
    if not given:
        return b""
    text, code = given[0], given[1] if len(given) > 1 else "latin1"
    if type(text) is bytes:
        return text
    if type(text) is not str or code not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise Refusal("bytes are made from what is no text")
    return text.encode(code)


def _reconstructed(machine: Any, given: tuple[Any, ...]) -> Any:
    of, base, state = given
    made = machine.instance(of, ())
    if type(base) is not Name or base.path not in ("builtins.object", "builtins.dict", "builtins.list"):
        raise Refusal(f"an object has the base {said(base)}")
    if type(made) is Made and state is not None:
        made.pairs, made.items = (state, []) if type(state) is Table else (Table(), _list(machine, (state,)))
    return made


def _new(machine: Any, given: tuple[Any, ...]) -> Any:
    return machine.instance(given[0], given[1:])


def _new_ex(machine: Any, given: tuple[Any, ...]) -> Any:
    return machine.instance(given[0], (*given[1], *given[2:]))


_UNKNOWN = Name("torch.nn.parameter", "Parameter")
_NUMBER = Name("numpy", "number")
_PLAIN_CLASSES = {"torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer", "torch.nn.Parameter"}
_TENSORS: dict[str, Maker] = {
    "torch._utils._rebuild_tensor": _v1,
    "torch._utils._rebuild_tensor_v2": _v2,
    "torch._utils._rebuild_tensor_v3": _v3,
    "torch._utils._rebuild_qtensor": _quantised,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._utils._rebuild_sparse_tensor": _sparse,
    "torch._utils._rebuild_sparse_csr_tensor": _sparse,
    "torch._utils._rebuild_nested_tensor": _nested,
    "torch._utils._rebuild_meta_tensor_no_storage": _meta,
    "torch._utils._rebuild_wrapper_subclass": _wrapper,
    "torch._utils._rebuild_device_tensor_from_numpy": _of_numpy,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _of_numpy,
    "torch._utils._rebuild_xla_tensor": _of_numpy,
}
MAKERS: dict[str, Maker] = {
    **_TENSORS,
    "torch._tensor._rebuild_from_type": _of_type,
    "torch._tensor._rebuild_from_type_v2": _of_type,
    "torch.tensor._rebuild_from_type": _of_type,
    "torch.tensor._rebuild_from_type_v2": _of_type,
    "torch.Size": _tuple,
    "torch.device": _first,
    "torch.serialization._get_layout": _first,
    "torch.jit._pickle.build_intlist": _first,
    "torch.jit._pickle.build_tensorlist": _first,
    "torch.jit._pickle.build_doublelist": _first,
    "torch.jit._pickle.build_boollist": _first,
    "torch.jit._pickle.build_tensor_from_id": _first,
    "torch.jit._pickle.restore_type_tag": _first,
    **{f"numpy.{core}.multiarray._reconstruct": _numpy_array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _numpy_number for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _numpy_buffer for core in ("core", "_core")},
    "numpy.dtype": _numpy_type,
    "collections.OrderedDict": _table,
    "collections.defaultdict": _table,
    "collections.Counter": _table,
    "collections.deque": _list,
    "builtins.dict": _table,
    "builtins.list": _list,
    "builtins.set": _list,
    "builtins.frozenset": _list,
    "builtins.tuple": _tuple,
    "builtins.bytearray": _raw,
    "builtins.bytes": _raw,
    "_codecs.encode": _raw,
    "copyreg._reconstructor": _reconstructed,
    "copyreg.__newobj__": _new,
    "copyreg.__newobj_ex__": _new_ex,
}
"""Name -> what a call of it gives."""
