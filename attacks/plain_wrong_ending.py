"""A safetensors file that is called .pt: what it is, its bytes say, and no pickle machine sees it."""

import json
import struct
from pathlib import Path

VERDICT = "read"
READS = ("fc.weight", [[1.0, 2.0], [3.0, 4.0]])


def make(folder: Path) -> Path:
    path = folder / "model.pt"
    header = json.dumps({"fc.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + struct.pack("<4f", 1, 2, 3, 4))
    return path
