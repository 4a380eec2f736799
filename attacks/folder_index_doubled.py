"""An index names the place of one array twice."""

from pathlib import Path

from ._folder import index

VERDICT = "refused"
CLAIM = "stands twice"


def make(folder: Path) -> Path:
    path = index(folder, {})
    name = "model-00001-of-00002.safetensors"
    path.write_text(f'{{"weight_map": {{"sound.weight": "{name}", "sound.weight": "other"}}}}')
    return path
