"""How a table of names is written and read: what an architecture's arrays are called, and what was done to them.

A rule is a line of words: the file's name of a layer; the live name; the layer's kind, if it is known (`@RMSNorm` is
the family's own class, a bare word one of torch); and what the converter did, which is undone (`changes.py`). A name
after `=` is that of one array with its last word. Rules of a block stand for each block.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ...frozen import dataclass, field

__all__ = ["Family", "Rule", "rules"]


@dataclass(frozen=True, slots=True)
class Rule:
    """Where a layer or an array of the file belongs."""

    live: str
    kind: str = ""
    change: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """An architecture.

    model     the folder and the prefix of the classes in transformers: "llama Llama"
    base      where the blocks are: the file's name before their number, and the live one
    outer     rules outside the blocks
    block     rules in a block
    holders   layers of a block without arrays of their own, with their kinds: attentions and gated MLPs
    head      whether the live network has an `lm_head`, tied to the table of tokens where the file has no `output`
    tied      other live names of the table of tokens
    """

    model: str
    outer: str
    block: str
    base: Mapping[str, str] = field(default_factory=lambda: {"blk": "model.layers"})
    holders: str = "self_attn @Attention; mlp @MLP"
    head: str = "lm_head"
    tied: tuple[str, ...] = ()

    def kind(self, word: str) -> str:
        """The full name of a kind as a rule says it."""
        folder, prefix = self.model.split()
        if word.startswith("@"):
            return f"transformers.models.{folder}.modeling_{folder}.{prefix}{word[1:]}"
        return word if not word or "." in word else f"torch.nn.{word}"


@cache
def rules(text: str) -> Mapping[str, Rule]:
    """Rules by what they are for.

    >>> rules("attn_q self_attn.q_proj Linear rotary")
    {'attn_q': Rule(live='self_attn.q_proj', kind='Linear', change='rotary')}
    """
    found = {}
    for line in text.splitlines():
        if words := line.split():
            name, live, *rest = words
            found[name] = Rule(live, *rest)
    return found
