"""Small valid Keras files, by Keras itself, for the fuzz runner to mutate: archives, whole models, weights alone."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def samples(folder: Path) -> list[Path]:
    """Networks of parts in parts, in Keras 3's three sorts of files, quantised and deflated too, and Keras 2's weights.

    They have few layers: most bytes of a larger one are empty tables of HDF5, where no change matters.
    """
    os.environ.setdefault("KERAS_BACKEND", "torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import absl.logging
        import keras

        absl.logging.set_verbosity("error")
        keras.utils.set_random_seed(0)
        return [*_written(folder, keras), _deflated(folder), _older(folder)]


def _written(folder: Path, keras: Any) -> Iterator[Path]:
    attentive, nested = _attentive(keras.layers, keras), _nested(keras.layers, keras)
    for name, network in (("attentive", attentive), ("nested", nested)):
        for ending in ("keras", "h5"):
            network.save(folder / f"{name}.{ending}")
            yield folder / f"{name}.{ending}"
    nested.save_weights(folder / "only.weights.h5")
    yield folder / "only.weights.h5"
    small = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2, use_bias=False)])
    small.quantize("int8")
    small.save(folder / "quantised.keras")
    yield folder / "quantised.keras"


def _attentive(layers: Any, keras: Any) -> Any:
    x = keras.Input((4, 3))
    y = layers.Bidirectional(layers.GRU(2, return_sequences=True), name="both")(x)
    y = layers.MultiHeadAttention(2, 2, name="attention")(y, y)
    return keras.Model(x, layers.Dense(2, name="out")(layers.BatchNormalization(name="norm")(y)))


def _nested(layers: Any, keras: Any) -> Any:
    inner = keras.Sequential([layers.Conv1D(4, 2, groups=2), layers.SeparableConv1D(3, 2)], name="inner")
    tokens = keras.Input((6,))
    y = layers.Embedding(7, 4, name="table")(tokens)
    y = layers.TimeDistributed(layers.Dense(4), name="each")(inner(layers.LSTM(4, return_sequences=True)(y)))
    y = layers.RNN([layers.LSTMCell(2), layers.GRUCell(2)], name="stack")(y)
    return keras.Model(tokens, layers.Lambda(abs, name="own")(y))


def _deflated(folder: Path) -> Path:
    """A file of which every member is deflated: as one that was unpacked and packed again."""
    path = folder / "deflated.keras"
    with zipfile.ZipFile(folder / "attentive.keras") as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return path


def _older(folder: Path) -> Path:
    with zipfile.ZipFile(Path(__file__).parents[1] / "files" / "keras2.zip") as archive:
        return Path(archive.extract("weights.h5", folder))
