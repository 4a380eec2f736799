"""Pieces that are arrays in pieces."""

from pathlib import Path

from ._msgpack import pairs

VERDICT = "refused"
CLAIM = "no shape or no pieces"


def make(folder: Path) -> Path:
    path = folder / "model.msgpack"
    path.write_bytes(
        pairs(
            (
                "w",
                pairs(
                    ("__msgpack_chunked_array__", b"\xc3"),
                    ("shape", pairs()),
                    ("chunks", pairs(("0", pairs(("__msgpack_chunked_array__", b"\xc3"))))),
                ),
            )
        )
    )
    return path
