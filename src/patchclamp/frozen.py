"""Frozen records, quick to make: the part of the standard `dataclasses` that the lower floors use.

`dataclasses` takes 6 ms to import and 0.7 ms a class, of which there are over thirty between a file and its card: more
than the rest of `patchclamp show` together. Here only the `__init__` is compiled, when the first record is made; the
other methods are shared. The functions of `dataclasses` (`fields`, `replace`, `asdict`) work on these classes too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

__all__ = ["dataclass", "field", "replace"]

T = TypeVar("T")
_STANDARD = "dataclasses"
"""Imported only when one of its functions asks for a record's fields."""
_NOTHING: Any = object()


class _Field:
    """What `field()` says of one attribute."""

    __slots__ = ("default", "factory", "repr")

    def __init__(self, default: Any, factory: Any, repr: bool) -> None:
        self.default = default
        self.factory = factory
        self.repr = repr


def field(*, default: Any = _NOTHING, default_factory: Any = _NOTHING, repr: bool = True) -> Any:
    """An attribute with a default made afresh for each record, or one that its repr leaves out."""
    return _Field(default, default_factory, repr)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def dataclass(*, frozen: bool, slots: bool = False, eq: bool = True) -> Callable[[type[T]], type[T]]:
    """Make a class a frozen record of its annotated attributes, as `dataclasses.dataclass(frozen=True)` does.

    With `eq`, records of one class are equal and hash alike where all their attributes do. Records inherit no fields.

    >>> @dataclass(frozen=True, slots=True)
    ... class Point:
    ...     x: int
    ...     y: int = 0
    >>> Point(1), Point(1) == Point(1, 0), hash(Point(1)) == hash(Point(1, 0))
    (Point(x=1, y=0), True, True)
    >>> Point(1).x = 2
    Traceback (most recent call last):
    AttributeError: cannot assign to field 'x'
    """
    if not frozen:
        raise TypeError("these records are frozen; for others there is dataclasses.dataclass")

    def make(cls: type[T]) -> type[T]:
        found = dict(_fields(cls))
        own = {"__repr__": vars(cls)["__repr__"]} if "__repr__" in vars(cls) else {}
        namespace = {**vars(cls), **_methods(cls, found, slots, eq), **own}
        for name, said in found.items():
            if not slots and said.default is not _NOTHING:
                namespace[name] = said.default
            else:
                namespace.pop(name, None)
        namespace["__qualname__"] = cls.__qualname__
        namespace.pop("__dict__", None)
        namespace.pop("__weakref__", None)
        return type(cls.__name__, cls.__bases__, namespace)

    return make


def replace(record: T, **changes: Any) -> T:
    """The same record with other values for some attributes.

    >>> @dataclass(frozen=True)
    ... class Point:
    ...     x: int
    ...     y: int = 0
    >>> replace(Point(1), y=5)
    Point(x=1, y=5)
    """
    names: tuple[str, ...] = type(record).__match_args__  # type: ignore[attr-defined]
    return type(record)(**{**{name: getattr(record, name) for name in names}, **changes})


def _fields(cls: type) -> Iterator[tuple[str, _Field]]:
    for name, annotation in vars(cls).get("__annotations__", {}).items():
        if str(annotation).startswith("ClassVar"):
            continue
        said = vars(cls).get(name, _NOTHING)
        yield name, said if isinstance(said, _Field) else _Field(said, _NOTHING, True)


def _methods(cls: type, fields: Mapping[str, _Field], slots: bool, eq: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "__init__": _init(cls, fields),
        "__match_args__": tuple(fields),
        "__dataclass_fields__": _StandardFields(fields),
        "__setattr__": _refuse_set,
        "__delattr__": _refuse_delete,
    }
    if "__repr__" not in vars(cls):
        made["__repr__"] = _repr(tuple(name for name, said in fields.items() if said.repr))
    if eq and "__eq__" not in vars(cls):
        made["__eq__"], made["__hash__"] = _comparing(attrgetter(*fields))
    if slots:
        made |= {"__slots__": tuple(fields), "__getstate__": _getstate, "__setstate__": _setstate}
    return made


def _init(cls: type, fields: Mapping[str, _Field]) -> Callable[..., None]:
    """An `__init__` that is compiled when the first record is made, and takes its own place then."""

    def __init__(self: Any, *arguments: Any, **named: Any) -> None:
        made = _compiled(cls, fields)
        owner = next(owner for owner in type(self).__mro__ if vars(owner).get("__init__") is __init__)
        type.__setattr__(owner, "__init__", made)
        made(self, *arguments, **named)

    return __init__


def _compiled(cls: type, fields: Mapping[str, _Field]) -> Callable[..., None]:
    """An `__init__` with the fields as its parameters."""
    known: dict[str, Any] = {"_set": object.__setattr__, "_NOTHING": _NOTHING}
    parameters, lines = ["self"], []
    for name, said in fields.items():
        value = name
        known[f"_d_{name}"], known[f"_f_{name}"] = said.default, said.factory
        if said.factory is not _NOTHING:
            known[f"_d_{name}"] = _NOTHING
            value = f"_f_{name}() if {name} is _NOTHING else {name}"
        required = said.default is _NOTHING and said.factory is _NOTHING
        parameters.append(name if required else f"{name}=_d_{name}")
        lines.append(f"    _set(self, {name!r}, {value})")
    if "__post_init__" in vars(cls):
        lines.append("    self.__post_init__()")
    body = "\n".join(lines)
    exec(f"def __init__({', '.join(parameters)}):\n{body}\n", known)
    made: Callable[..., None] = known["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    made.__annotations__ = {**{name: cls.__annotations__[name] for name in fields}, "return": "None"}
    return made


def _repr(names: tuple[str, ...]) -> Callable[[Any], str]:
    def __repr__(self: Any) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    return __repr__


def _comparing(values: Callable[[Any], Any]) -> tuple[Callable[[Any, object], bool], Callable[[Any], int]]:
    def __eq__(self: Any, other: object) -> bool:
        return values(self) == values(other) if type(other) is type(self) else NotImplemented

    def __hash__(self: Any) -> int:
        return hash(values(self))

    return __eq__, __hash__


def _refuse_set(self: Any, name: str, value: Any) -> None:
    raise AttributeError(f"cannot assign to field {name!r}")


def _refuse_delete(self: Any, name: str) -> None:
    raise AttributeError(f"cannot delete field {name!r}")


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self.__match_args__]


def _setstate(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__match_args__, state, strict=True):
        object.__setattr__(self, name, value)


class _StandardFields:
    """`__dataclass_fields__`, made when it is first asked for."""

    def __init__(self, fields: Mapping[str, _Field]) -> None:
        self.fields = fields

    def __get__(self, record: object, cls: type) -> dict[str, Any]:
        standard = import_module(_STANDARD)
        described = [(name, cls.__annotations__[name], _standard(standard, said)) for name, said in self.fields.items()]
        made: dict[str, Any] = standard.make_dataclass(cls.__name__, described).__dataclass_fields__
        type.__setattr__(cls, "__dataclass_fields__", made)
        return made


def _standard(standard: Any, said: _Field) -> Any:
    defaults = {"default": said.default, "default_factory": said.factory}
    return standard.field(repr=said.repr, **{word: value for word, value in defaults.items() if value is not _NOTHING})
