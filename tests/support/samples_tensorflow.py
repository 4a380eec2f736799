"""Small valid TensorFlow checkpoints, as TensorFlow wrote them, for the fuzz runner to mutate.

Each lies in a folder of its own, the numbers beside the index. A SavedModel states its layers.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from attacks._tensorflow import field

DATA = Path(__file__).parents[1] / "files" / "data" / "tensorflow"


def samples(folder: Path) -> list[Path]:
    """A Keras network with its optimizer, every element type, partitioned variables with slots, a SavedModel."""
    paths = []
    for name in ("keras3", "dtypes", "names"):
        paths.append(_copied(name, folder / name, name) / f"{name}.index")
    paths.append(_copied("exported", folder / "saved" / "variables", "variables").parent)
    said = {
        "name": "conv",
        "class_name": "Conv2D",
        "config": {"name": "conv", "filters": 4, "groups": 1, "strides": [1]},
    }
    text = json.dumps(said).encode()
    objects = field(1, field(4, field(3, text)))
    (paths[-1] / "saved_model.pb").write_bytes(field(1, 1) + field(2, field(1, b"x") + field(7, objects)))
    return paths


def _copied(name: str, folder: Path, prefix: str) -> Path:
    folder.mkdir(parents=True)
    for ending in ("index", "data-00000-of-00001"):
        shutil.copy(DATA / f"{name}.{ending}", folder / f"{prefix}.{ending}")
    return folder
