"""Do what must not be left half done."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["surely"]


def surely(action: Callable[[], None]) -> None:
    """Do what must not be left half done. An interrupt starts it again, and is raised at the end."""
    interrupted: KeyboardInterrupt | None = None
    while True:
        try:
            action()
            break
        except KeyboardInterrupt as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted
