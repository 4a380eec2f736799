"""A directory of 200,000 members in 10 MB."""

from pathlib import Path

VERDICT = "refused"
CLAIM = "at most 100,000"


def make(folder: Path) -> Path:
    entry = b"PK\x01\x02" + bytes(24) + b"\x05\x00" + bytes(16)
    directory = b"".join(entry + b"%05x" % n for n in range(200_000))
    tail = b"PK\x06\x06" + (44).to_bytes(8, "little") + bytes(12)
    tail += 2 * (200_000).to_bytes(8, "little") + len(directory).to_bytes(8, "little") + bytes(8)
    locator = b"PK\x06\x07" + bytes(4) + len(directory).to_bytes(8, "little") + (1).to_bytes(4, "little")
    path = folder / "model.pt"
    begin = b"PK\x03\x04"
    tail = tail[:48] + (4).to_bytes(8, "little")
    locator = locator[:8] + (len(directory) + 4).to_bytes(8, "little") + locator[16:]
    path.write_bytes(begin + directory + tail + locator + b"PK\x05\x06" + bytes(4) + b"\xff" * 12 + bytes(2))
    return path
