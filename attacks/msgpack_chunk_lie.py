"""An array in pieces that are fewer than its shape says."""

from pathlib import Path

from ._msgpack import array, number, pairs

VERDICT = "refused"
CLAIM = "as many numbers"


def make(folder: Path) -> Path:
    path = folder / "model.msgpack"
    path.write_bytes(
        pairs(
            (
                "w",
                pairs(
                    ("__msgpack_chunked_array__", b"\xc3"),
                    ("shape", pairs(("0", number(9)))),
                    ("chunks", pairs(("0", array((6,))))),
                ),
            )
        )
    )
    return path
