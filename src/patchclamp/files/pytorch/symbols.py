"""What a pickle describes, as plain data: names, tables, objects that are not built, tensors that are not loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..source import Source

__all__ = ["DTYPE_NAMES", "STORAGES", "Like", "Made", "Name", "NumpyArray", "NumpyType", "Refusal", "Region"]
__all__ += ["Sparse", "Table", "Tensor", "later", "said"]


class Refusal(Exception):
    """Why a pickle is not read, before the file and the place in it are known."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class Name:
    """A global that the pickle names. It stays a name: nothing is imported."""

    __slots__ = ("module", "name", "path")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name
        self.path = f"{module}.{name}"


class Table(list[tuple[Any, Any]]):
    """A dict of the pickle as its pairs, in order. Keys are not hashed: a file may choose keys whose hashes collide."""

    __slots__ = ()


class Made:
    """An object of some class that is not built: what its class would have been given."""

    __slots__ = ("arguments", "items", "of", "pairs", "state")

    def __init__(self, of: Name, arguments: tuple[Any, ...] = ()) -> None:
        self.of = of
        self.arguments = arguments
        self.state: Any = None
        self.items: list[Any] = []
        self.pairs = Table()


class Region:
    """A storage: `nbytes` bytes of a source from `begin` on, which tensors look at. Without a source it has none."""

    __slots__ = ("begin", "dtype", "key", "nbytes", "source", "swapped")

    def __init__(self, key: str, dtype: str, nbytes: int, source: Source | None = None, begin: int = 0) -> None:
        self.key = key
        self.dtype = dtype
        self.nbytes = nbytes
        self.source = source
        self.begin = begin
        self.swapped = False


class Tensor:
    """A tensor: which storage it looks at, from where, with which strides (in elements), as which element type.

    `why` says why its numbers cannot be read; `steps` are those of a quantised tensor; `note` is what to know of it.
    `key` is that of its storage. One with `later` is yet to be made: when more is asked, `find(key, later)` gives its
    storage.
    """

    __slots__ = ("dtype", "find", "key", "later", "note", "offset", "region", "shape", "steps", "strides", "why")
    find: Callable[[str, Like], Region]
    later: Like | None

    def __init__(
        self, region: Region | None, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: str
    ) -> None:
        self.later = None
        self.region = region
        self.key = region.key if region is not None else ""
        self.offset = offset
        self.shape = shape
        self.strides = strides
        self.dtype = dtype
        self.why = ""
        self.note = ""
        self.steps: tuple[Any, ...] = ()

    def __getattr__(self, word: str) -> Any:
        like = object.__getattribute__(self, "later")
        if like is None:
            raise AttributeError(word)
        Tensor.__init__(self, self.find(self.key, like), like.offset, like.shape, like.strides, like.dtype)
        return getattr(self, word)


def later(key: str, like: Like, find: Callable[[str, Like], Region]) -> Tensor:
    """A tensor that is made when more than its key is asked for."""
    made = Tensor.__new__(Tensor)
    made.key = key
    made.later = like
    made.find = find
    return made


class Like(NamedTuple):
    """What many tensors have in common: class, place and count of their storages, and how they look at those."""

    of: Name
    place: str
    numbers: int
    dtype: str
    nbytes: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    reach: int


class Sparse:
    """A sparse tensor: its parts are plain tensors."""

    __slots__ = ("layout", "parts", "shape")

    def __init__(self, layout: str, shape: tuple[int, ...], parts: Mapping[str, Any]) -> None:
        self.layout = layout
        self.shape = shape
        self.parts = parts


class NumpyType:
    """A NumPy element type: its letter and size ("f4") and the order of its bytes."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        self.order = code[0] if code[:1] in "<>|=" and code else ""
        self.code = code[len(self.order) :]


class NumpyArray:
    """A NumPy array whose numbers lie in the pickle itself."""

    __slots__ = ("data", "dtype", "fortran", "shape")

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = (0,)
        self.dtype = NumpyType("u1")
        self.fortran = False
        self.data: Any = b""


def said(thing: Any) -> str:
    """A thing of the pickle in a few words: what holds others is not printed."""
    if isinstance(thing, (Name, Made)):
        path = thing.path if isinstance(thing, Name) else thing.of.path
        return path if len(path) <= 120 else f"{path[:120]}..."
    if isinstance(thing, str):
        return repr(thing if len(thing) <= 80 else f"{thing[:80]}...")
    if isinstance(thing, int) and abs(thing) >= 1 << 128:
        return f"an integer of {thing.bit_length()} bits"
    return repr(thing) if thing is None or isinstance(thing, (int, float)) else f"a {type(thing).__name__.lower()}"


DTYPE_NAMES = {
    **{
        f"torch.{name}": name
        for name in (
            *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "bfloat16"),
            *("float32", "float64", "complex32", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2"),
            *("float8_e8m0fnu", "float8_e4m3fnuz", "float8_e5m2fnuz", "float4_e2m1fn_x2"),
            *("qint8", "quint8", "qint32", "quint4x2", "quint2x4"),
            *(f"{sign}int{bits}" for sign in ("", "u") for bits in range(1, 8)),
        )
    },
    "torch.float": "float32",
    "torch.double": "float64",
    "torch.half": "float16",
    "torch.long": "int64",
    "torch.int": "int32",
    "torch.short": "int16",
    "torch.cfloat": "complex64",
    "torch.cdouble": "complex128",
    "torch.chalf": "complex32",
}
"""What PyTorch calls its element types, and their names here."""

_STORAGE_WORDS = {
    "Float": "float32",
    "Double": "float64",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
    "QInt8": "qint8",
    "QUInt8": "quint8",
    "QInt32": "qint32",
    "QUInt4x2": "quint4x2",
    "QUInt2x4": "quint2x4",
    "Untyped": "",
}
STORAGES = {
    f"torch.{place}{word}Storage": dtype
    for word, dtype in _STORAGE_WORDS.items()
    for place in ("", "cuda.", "storage.")
}
"""The classes of storages and their element types; "" where it is bytes and each tensor says its own type."""
