"""The bytes of a safetensors file, well-formed or not, for the attacks on that format."""

import json
from pathlib import Path


def entry(shape: object = (2,), offsets: object = (0, 8), dtype: object = "F32", **more: object) -> dict[str, object]:
    """What a header says of one array."""
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


def file(folder: Path, header: object, numbers: bytes = bytes(8), length: int | None = None) -> Path:
    """Write a file with this header (JSON, or its bytes), and `length` as what it says of the header's length."""
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    path = folder / "model.safetensors"
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + numbers)
    return path
