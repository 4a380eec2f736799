"""What is the same for every framework that calls its layers: naming arguments, and telling a probe of each call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..errors import RunError
from ..protocols import Probe

__all__ = ["Telling", "describe", "failed", "named_inputs", "raised"]


class Telling:
    """Tells one probe of the calls of one layer. What the probe raises is kept, for a network that catches it.

    A framework's adapter enters `call` around each run of the layer and hands it what left.
    """

    def __init__(self, probe: Probe, errors: list[Exception]) -> None:
        self.probe = probe
        self.errors = errors
        self._open = 0

    @property
    def inside(self) -> bool:
        """Whether a call of the layer is running."""
        return self._open > 0

    @contextmanager
    def call(self, inputs: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Callable[[Any], None]]:
        """One call: give what left to the function that this yields. A call that raises is dropped."""
        left: list[Any] = []
        with self._kept():
            self.probe.enter(inputs, config)
        self._open += 1
        try:
            yield left.append
        except BaseException:
            self.probe.drop()
            raise
        finally:
            self._open -= 1
        with self._kept():
            self.probe.leave(left[0] if left else None)

    def before(self, value: Any) -> None:
        """What the layer had before its activation."""
        with self._kept():
            self.probe.before(value)

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.errors.append(error)
            raise


def raised(errors: list[Exception]) -> None:
    """Raise the first thing that a probe raised, where the network caught it."""
    if errors:
        raise errors[0]


def named_inputs(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments under the names that a bound method gives them, the main input first."""
    try:
        return dict(inspect.signature(function).bind(*args, **kwargs).arguments)
    except (TypeError, ValueError):
        return {**{f"input{i}": item for i, item in enumerate(args)}, **kwargs}


def describe(x: Any) -> str:
    """An input in words: shape and type."""
    if isinstance(x, (tuple, list)):
        return f"({', '.join(map(describe, x))})"
    if isinstance(x, Mapping):
        return f"{{{', '.join(f'{name}: {describe(item)}' for name, item in x.items())}}}"
    shape = getattr(x, "shape", None)
    return f"shape {tuple(shape)} and type {x.dtype}" if shape is not None else type(x).__name__


def failed(error: Exception, where: str, x: Any) -> RunError:
    """What a network raised, as one clear error."""
    at = f" in layer {where!r}" if where else ""
    said = (str(error).strip() or "no message").splitlines()[0]
    return RunError(
        f"the network raised {type(error).__name__}{at} on an input of {describe(x)}: {said}",
        "check the input's shape and type; the network is as it was before the call",
    )
