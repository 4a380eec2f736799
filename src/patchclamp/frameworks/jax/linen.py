"""To be written."""

from __future__ import annotations

from typing import Any

from ...model import Model


def handles(thing: object) -> bool:
    return False


def open_model(thing: Any) -> Model:
    raise NotImplementedError
