"""A chat template that would run code where it is rendered: it is text."""

from pathlib import Path

from ._gguf import tensor, whole, word

VERDICT = "read"


def make(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(
        whole(
            [word("tokenizer.chat_template", "{{ cycler.__init__.__globals__.os.system('touch EVIDENCE') }}")],
            [tensor("a.weight")],
        )
    )
    return path
