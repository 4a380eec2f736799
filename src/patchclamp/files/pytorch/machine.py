"""A symbolic pickle machine: runs the opcodes of protocols 0 to 5 on a stack, and makes symbols where a pickle calls.

Source: `pickletools.py` of CPython describes every opcode. Nothing is imported and nothing of the file is called; what
a call would have made is looked up in `rebuild.MAKERS`, else `allowed` decides. Every loop is bounded by the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from struct import Struct
from struct import error as StructError
from typing import Any

from ...errors import FileError
from .allowed import RENAMED, may_call, may_stand
from .opcodes import OTHERS
from .rebuild import MAKERS, placed
from .records import Known, Memo, read_records
from .symbols import Like, Made, Name, NumpyArray, NumpyType, Refusal, Sparse, Table, Tensor

__all__ = ["CutShort", "Machine"]

_STEPS = 400_000
_STEPS_MOST = 8_000_000
_STEPS_TENSOR = 64
_MORE = object()
_HINT = "the file is damaged or was made to deceive; download or save it again"
_WORD = 1024
"""Longest name of a global, in bytes."""
_WIDTHS = {0x72: 4, 0x4B: 1, 0x68: 1, 0x6A: 4, 0x58: 4, 0x71: 1, 0x4D: 2, 0x4A: 4, 0x80: 1}
"""Opcode -> how many bytes follow it at least."""
_U2, _I4, _U4 = Struct("<H").unpack_from, Struct("<i").unpack_from, Struct("<I").unpack_from


class CutShort(FileError):
    """The bytes end before the pickle does; `need` is how many it takes at least."""

    need = 0


class Machine:
    """Runs the pickles in `data`, one after the other.

    persistent   what a persistent id stands for: given the id, a Region
    where        what to call the data in an error; `before` is where it begins there
    size         bytes of the whole file: the longer it is, the more steps it may take
    """

    def __init__(
        self, data: bytes, path: str, persistent: Callable[[Any], Any], where: str = "", size: int = 0
    ) -> None:
        self.data = data
        self.path = path
        self.where = where
        self.persistent = persistent
        self.left = min(_STEPS + (size or len(data)) // 64, _STEPS_MOST)
        self.at = 0
        self.stack: list[Any] = []
        self.meta: list[list[Any]] = []
        self.memo = Memo()
        self.names: dict[tuple[str, str], Name] = {}
        self.made: dict[str, int] = {}
        self.quick = True
        self.many: Callable[[Sequence[str], Sequence[Like]], Sequence[Any] | None] | None = None
        self.known = Known()
        self.tensors = 0

    def load(self) -> Any:
        """The object of the pickle that begins at `at`, which is moved behind it. FileError for whatever is wrong."""
        self.stack, self.meta, self.memo, start = [], [], Memo(), self.at
        try:
            while (found := self._run()) is _MORE:
                self._more()
        except (IndexError, ValueError, StructError) as error:
            if self._behind_end():
                raise self._cut() from error
            what = "takes more from its stack than is there" if isinstance(error, IndexError) else f"holds {error}"
            raise self._error(f"the pickle {what}", _HINT) from error
        except KeyError as error:
            if not self.memo.whole:
                self.quick, self.at = False, start
                return self.load()
            raise self._error(f"the pickle asks for entry {error} of its memo, which is not there", _HINT) from error
        except Refusal as refusal:
            raise self._error(refusal.reason, refusal.hint or _HINT) from refusal
        except FileError:
            raise
        except (TypeError, AttributeError, OverflowError) as error:
            raise self._error(f"the pickle puts together what does not fit ({error})", _HINT) from error
        if self.meta or self.stack:
            raise self._error(f"the pickle that begins at byte {start} leaves objects on its stack", _HINT)
        return found

    def each(self, keys: Sequence[str], likes: Sequence[Like]) -> Sequence[Any] | None:
        """A tensor for each storage of these keys; None where one is refused, which its opcodes will say."""
        made = []
        try:
            for key, like in zip(keys, likes, strict=True):
                region = self.persistent(("storage", like.of, key, like.place, like.numbers))
                made.append(placed(region, like.offset, like.shape, like.strides, like.reach))
        except Refusal:
            return None
        return made

    def _run(self) -> Any:
        """The opcodes that tensors are made of, the most frequent first; others are looked up."""
        data, memo, meta, stack, at = self.data, self.memo, self.meta, self.stack, self.at
        size = len(data)
        for _ in repeat(None, self.left):
            self.at = at
            op = data[at]
            at += 1
            if op == 0x72:  # LONG_BINPUT
                number = _U4(data, at)[0]
                if number > size:
                    self.index(number)
                memo[number] = stack[-1]
                at += 4
            elif op == 0x4B:  # BININT1
                stack.append(data[at])
                at += 1
            elif op == 0x68:  # BINGET
                stack.append(memo[data[at]])
                at += 1
            elif op == 0x6A:  # LONG_BINGET
                stack.append(memo[_U4(data, at)[0]])
                at += 4
            elif op == 0x28:  # MARK
                meta.append(stack)
                stack = []
            elif op == 0x74:  # TUPLE
                items = tuple(stack)
                stack = meta.pop()
                stack.append(items)
            elif op == 0x52:  # REDUCE
                items = stack.pop()
                stack[-1] = self.call(stack[-1], items)
            elif op == 0x58:  # BINUNICODE
                if self.quick and stack and type(stack[-1]) is Tensor:
                    end = read_records(self, at - 1, stack)
                    if end >= at:
                        at = end
                        continue
                end = at + 4 + _U4(data, at)[0]
                if end > size:
                    self.at = end
                    raise IndexError
                stack.append(str(data[at + 4 : end], "utf-8"))
                at = end
            elif op == 0x71:  # BINPUT
                memo[data[at]] = stack[-1]
                at += 1
            elif op == 0x86:  # TUPLE2
                items = stack.pop()
                stack[-1] = (stack[-1], items)
            elif op == 0x85:  # TUPLE1
                stack[-1] = (stack[-1],)
            elif op == 0x4D:  # BININT2
                stack.append(_U2(data, at)[0])
                at += 2
            elif op == 0x4A:  # BININT
                stack.append(_I4(data, at)[0])
                at += 4
            elif op == 0x51:  # BINPERSID
                stack[-1] = self.persistent(stack[-1])
            elif op == 0x89:  # NEWFALSE
                stack.append(False)
            elif op == 0x29:  # EMPTY_TUPLE
                stack.append(())
            elif op == 0x2E:  # STOP
                self.at = at
                self.stack = stack
                return stack.pop()
            else:
                self.stack = stack
                at = OTHERS[op](self, at)
                stack = self.stack
        self.at, self.stack = at, stack
        return _MORE

    def _more(self) -> None:
        """More steps, for each tensor that was made; Refusal where there are none."""
        if not self.tensors:
            raise Refusal(f"it takes more than {self.left:,} steps, more than its tensors and its size explain")
        self.left, self.tensors = self.tensors * _STEPS_TENSOR, 0

    def index(self, number: int) -> int:
        """A place in the memo: there are no more than bytes."""
        if number > len(self.data):
            raise Refusal(f"the pickle keeps an object as number {number:,}, in {len(self.data):,} bytes")
        return number

    def marked(self) -> list[Any]:
        """What was put on the stack since the last mark."""
        items, self.stack = self.stack, self.meta.pop()
        return items

    def line(self, at: int, most: int = _WORD) -> tuple[bytes, int]:
        """The text up to the end of the line, and what follows it."""
        end = self.data.find(b"\n", at, at + most)
        if end < 0:
            self.at = len(self.data) if at + most >= len(self.data) else self.at
            raise ValueError("a line that does not end")
        return self.data[at:end], end + 1

    def name(self, module: Any, name: Any) -> Name:
        """The symbol of a global. Refusal for what could not be the name of one."""
        if type(module) is not str or type(name) is not str:
            raise Refusal("the pickle names a global by what is no text")
        found = self.names.get((module, name))
        if found is None:
            if not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
                raise Refusal(
                    f"the pickle names a global {f'{module[:80]} {name[:80]}'!r}, which nothing can be called"
                )
            found = self.names[module, name] = Name(RENAMED.get(module, module), name)
        return found

    def call(self, function: Any, arguments: Any) -> Any:
        """What a call would give, as a symbol."""
        if type(function) is not Name or type(arguments) is not tuple:
            raise Refusal(f"loading it would call {_kind(function)}: only names are called in a checkpoint")
        maker = MAKERS.get(function.path)
        if maker is None:
            may_call(function)
            return self.opaque(function, arguments)
        try:
            found = maker(self, arguments)
            self.tensors += type(found) is Tensor
            return found
        except (TypeError, ValueError, IndexError, AttributeError, KeyError, OverflowError) as error:
            reason = f"{function.path} is given what it does not take ({str(error)[:80]})"
            raise Refusal(reason) from error

    def instance(self, of: Any, arguments: Any) -> Any:
        """An object of a class, made without calling it."""
        if type(of) is not Name or type(arguments) is not tuple:
            raise Refusal(f"loading it would make an object of {_kind(of)}: only names are classes in a checkpoint")
        if of.path in MAKERS and of.module in ("collections", "builtins"):
            return self.call(of, arguments)
        may_stand(of)
        return self.opaque(of, arguments)

    def opaque(self, of: Name, arguments: tuple[Any, ...] = ()) -> Made:
        """An object that is kept as its name and what it was given."""
        self.made[of.path] = self.made.get(of.path, 0) + 1
        return Made(of, arguments)

    def build(self, target: Any, state: Any) -> None:
        """Give an object its state, which is kept and not set."""
        if type(target) is Made:
            target.state = state if target.state is None else (target.state, state)
        elif type(target) is NumpyArray:
            _, shape, dtype, target.fortran, target.data = state
            if type(dtype) is not NumpyType or type(target.fortran) not in (bool, int):
                raise Refusal("a NumPy array is given no element type")
            target.shape, target.dtype = shape, dtype
        elif type(target) is NumpyType:
            if type(state) is not tuple or len(state) < 2 or type(state[1]) is not str:
                raise Refusal("a NumPy element type is given what it does not take")
            target.order = state[1]
            target.code = target.code if len(state) < 4 or state[3] is None else ""
        elif type(target) not in (Table, Tensor, Sparse):
            raise Refusal(f"loading it would set attributes of {_kind(target)}: in a checkpoint only of objects")

    def _behind_end(self) -> bool:
        """Whether what the opcode takes lies behind the end of the data."""
        at = self.at
        return at >= len(self.data) or at + _WIDTHS.get(self.data[at], 0) >= len(self.data)

    def _cut(self) -> CutShort:
        place = f"byte {len(self.data):,}{self._where()}"
        error = CutShort(self.path, "the pickle ends early", place=place, hint=_HINT)
        error.need = max(self.at, len(self.data)) + 1
        return error

    def _error(self, reason: str, hint: str = "") -> FileError:
        return FileError(self.path, reason, place=f"byte {self.at:,}{self._where()}", hint=hint)

    def _where(self) -> str:
        return f" of {self.where}" if self.where else ""


def _kind(thing: Any) -> str:
    if type(thing) is Name:
        return thing.path[:120]
    return f"an object of {thing.of.path[:120]}" if type(thing) is Made else f"a {type(thing).__name__.lower()}"
