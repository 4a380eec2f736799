"""A Lambda layer with marshalled code that makes EVIDENCE, as Keras 2 writes it, and as Keras 3 does."""

import base64
import marshal
from pathlib import Path

from ._hdf5 import KERNEL, WEIGHTS, archive, dense, model, unpacked

VERDICT = "read"
READS = KERNEL


def make(folder: Path) -> Path:
    code = compile(f"open({str(folder / 'EVIDENCE')!r}, 'w').close()", "attack", "exec")
    text = base64.b64encode(marshal.dumps(code)).decode()
    old = {"class_name": "Lambda", "config": {"name": "old", "function": [text, None, None], "function_type": "lambda"}}
    said = {"class_name": "__lambda__", "config": {"code": text, "defaults": None, "closure": None}}
    new = {"module": "keras.layers", "class_name": "Lambda", "config": {"name": "new", "function": said}}
    return archive(folder / "model.keras", model(old, dense(), new), unpacked(WEIGHTS))
