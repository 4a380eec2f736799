"""All tables in one."""

from __future__ import annotations

from .entry import Entry
from .table_mixed import MIXED
from .table_sound import SOUND
from .table_text import TEXT
from .table_vision import VISION

TABLE: dict[str, Entry] = {**TEXT, **VISION, **SOUND, **MIXED}


def entry(model_type: str) -> Entry:
    return TABLE.get(model_type, Entry())
