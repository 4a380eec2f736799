"""Rows for many classes at once: a template and the names of the classes that it describes.

`llama.LlamaAttention` is `transformers.models.llama.modeling_llama.LlamaAttention`; where the file is called otherwise
than its folder it is named too: `blip.blip_text.BlipTextSelfAttention`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from ..frozen import replace
from .row import Kind

__all__ = ["PACKAGE", "Table", "indexed"]

Table: TypeAlias = tuple[tuple[Kind, str], ...]
PACKAGE = "transformers."


def indexed(tables: Iterable[Table]) -> dict[str, Kind]:
    """Every class path with its template; the row of a class is the template under that name.

    Where several tables speak of a class (its heads, its tokens, its buffers), its row is what they say together.
    """
    found: dict[str, Kind] = {}
    for table in tables:
        for kind, names in table:
            for path in map(_path, names.split()):
                found[path] = _joined(found[path], kind) if path in found else kind
    return found


_MAPPINGS = ("arrays", "sizes", "config", "facts", "apart", "others", "views")


def _joined(first: Kind, second: Kind) -> Kind:
    """Two rows of one class as one: the formula is that of the first that has one, and so are the neurons."""
    base = first if first.family or not second.family else second
    main = first if first.arrays else second
    both: dict[str, Any] = {word: {**getattr(second, word), **getattr(first, word)} for word in _MAPPINGS}
    return replace(base, **both, neuron=main.neuron, input=main.input, output=main.output, role=main.role)


def _path(short: str) -> str:
    folder, *file, cls = short.split(".")
    if not folder:
        return f"{PACKAGE}{'.'.join(file)}.{cls}"
    return f"{PACKAGE}models.{folder}.modeling_{file[0] if file else folder}.{cls}"
