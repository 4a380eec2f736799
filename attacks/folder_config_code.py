"""A config that names code of the folder, which is not needed to read the numbers."""

import json
from pathlib import Path

from ._folder import weights

VERDICT = "read"
READS = ("fc.weight", [[1.0, 2.0], [3.0, 4.0]])


def make(folder: Path) -> Path:
    weights(folder / "model.safetensors")
    said = {"model_type": "evil", "architectures": ["Evil"], "auto_map": {"AutoModel": "evidence_module.Evil"}}
    (folder / "config.json").write_text(json.dumps(said))
    (folder / "evidence_module.py").write_text(f"open({str(folder / 'EVIDENCE')!r}, 'w')")
    return folder
