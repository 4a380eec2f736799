"""How a command ends: its exit codes, and the error for a command line that cannot be understood."""

from __future__ import annotations

__all__ = ["Exit", "Usage"]


class Exit:
    """The exit codes; `cli.main` adds 130 for an interrupt."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUTED = 3
    PIPE = 141


class Usage(Exception):
    """The command line cannot be understood: one line of what is wrong, and a hint."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint
