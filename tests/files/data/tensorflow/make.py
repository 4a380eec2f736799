"""Write the checkpoints of this folder and what TensorFlow itself reads from them: run it where tensorflow-cpu is.

TensorFlow is too large for the test environment, so its files are kept here. Made with tensorflow-cpu 2.21.0.
"""

import os
import shutil
import tempfile
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent
ODD = [0, 1, 2, 3, 100, 7]
DTYPES = [
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "bool",
    "complex64",
    "complex128",
]


class Holder(tf.Module):
    """One variable of each element type, a single number, an empty one, and text."""

    def __init__(self) -> None:
        super().__init__()
        for name in DTYPES:
            setattr(self, f"v_{name}", tf.Variable(tf.cast(tf.reshape(tf.constant(ODD), (2, 3)), name), name=name))
        self.scalar = tf.Variable(3.5, name="scalar")
        self.empty = tf.Variable(tf.zeros((0, 3)), name="empty")
        self.text = tf.Variable(["ab", "c"], name="text")


def network() -> keras.Model:
    layers = [
        keras.layers.Input((6, 6, 3)),
        keras.layers.Conv2D(4, 3, name="conv"),
        keras.layers.BatchNormalization(name="bn"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(5, name="head"),
    ]
    model = keras.Sequential(layers)
    model.compile("adam", "mse")
    rng = np.random.default_rng(0)
    model.fit(rng.standard_normal((4, 6, 6, 3)), rng.standard_normal((4, 5)), verbose=0)
    return model


def graph(path: str) -> None:
    """A checkpoint of names, with partitioned variables and an optimizer's slots."""
    v1 = tf.compat.v1
    with tf.Graph().as_default():
        normal = v1.random_normal_initializer(seed=1)
        for name, parts, axis, shape in (("dense", 3, 0, (300, 2)), ("wide", 2, 1, (4, 6))):
            with v1.variable_scope(name, partitioner=v1.fixed_size_partitioner(parts, axis=axis)):
                v1.get_variable("kernel", shape, initializer=normal)
        v1.get_variable("dense/bias", (2,), initializer=normal)
        head = v1.get_variable("scope/head/kernel", (4, 2), initializer=normal)
        bias = v1.get_variable("scope/head/bias", (2,), initializer=normal)
        v1.train.get_or_create_global_step()
        step = v1.train.AdamOptimizer().minimize(tf.reduce_sum(tf.matmul(tf.ones((1, 4)), head) + bias))
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            session.run(step)
            v1.train.Saver().save(session, path, write_meta_graph=False)


def exported() -> None:
    """The variables of a SavedModel of Keras 3, which stores them twice."""
    with tempfile.TemporaryDirectory() as folder:
        network().export(folder, verbose=False)
        for path in Path(folder, "variables").iterdir():
            shutil.copy(path, HERE / path.name.replace("variables", "exported"))


def main() -> None:
    tf.random.set_seed(0)
    keras.utils.set_random_seed(0)
    tf.train.Checkpoint(model=network()).write(str(HERE / "keras3"))
    exported()
    tf.train.Checkpoint(m=Holder()).write(str(HERE / "dtypes"))
    graph(str(HERE / "names"))
    (HERE / "checkpoint").unlink(missing_ok=True)
    for name in ("keras3", "dtypes", "names", "exported"):
        reader = tf.train.load_checkpoint(str(HERE / name))
        found = {}
        for key, dtype in reader.get_variable_to_dtype_map().items():
            if dtype != tf.string:
                value = np.asarray(reader.get_tensor(key))
                found[key] = value.astype("float32") if dtype == tf.bfloat16 else value
        np.savez(HERE / f"{name}.npz", **found)


if __name__ == "__main__":
    main()
