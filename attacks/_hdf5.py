"""The bytes of HDF5 files, as the scripts hold them: those of a file that h5py made, packed as text."""

from __future__ import annotations

import base64
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b85decode(text))


def dense(name: str = "dense", **more: Any) -> dict[str, Any]:
    """The config of a dense layer of three units."""
    config = {"name": name, "trainable": True, "dtype": "float32", "units": 3, "activation": "linear", "use_bias": True}
    return {"module": "keras.layers", "class_name": "Dense", "config": {**config, **more}, "registered_name": None}


def model(*layers: Mapping[str, Any]) -> str:
    """The config of a model of some layers."""
    config = {"name": "model", "layers": list(layers)}
    return json.dumps({"module": "keras", "class_name": "Sequential", "config": config, "registered_name": None})


def archive(path: Path, config: str, weights: bytes, **more: bytes) -> Path:
    """A `.keras` file; `more` are other members."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("metadata.json", '{"keras_version": "3.15.1"}')
        file.writestr("config.json", config)
        file.writestr("model.weights.h5", weights)
        for name, data in more.items():
            file.writestr(name, data)
    return path


WEIGHTS = (
    "c-rgqaB<`1lHy_j0S*oZ76t(ZWbhvfjtHUhVe$!3nh{EOK<O1sFmXn(oCH){5NbZUx{x4OSCH!eXaHu<16Byl!7vI&BJgl^3;@v)"
    "P(Cb`o?t>%my=kTT2zckj~*1-i!1$lFhlqmti+|?7o4N%cQpNCrr!=$RCOt-dBv#=)Jwm?e*P|?6bwsu3e2eGHF`Q81*DY&0qhWd"
    "0Vi?gzz5#Za$vL^z$^zQaH6U!O9a(ov?~WR*ip*?^mIH5NGk^-xFP%sUgFAu1Oe3e9|a@39Dt>#8N8_K44||jT0hHyO67n7H>$bl"
    ">39_2DhF60Va5pKYd~lwhybix0&QMl@R@-z4pJ$oAP?+wgIi_{;v5X(^-y_MU<`renV293azIlEGoyz9YKnn@ia`)64fc?v=>WtH"
    "K)k>KlHQo$>CJ*4zX`DNaE0J#8pEI7Ao0)0$cUD%C{15Gpd&pzXfEg&WFhjv0fqqze}+{"
)
"""`layers/dense/vars/0` and `1`: a kernel of 2 x 3, the numbers 0 to 5, and a bias of 3, all 7."""
KERNEL = ("dense.kernel", [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
