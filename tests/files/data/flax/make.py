"""Write the checkpoints of this folder with Flax, and what they hold as .npz: run it where flax and optax are.

Made with flax 0.12.8, jax 0.10.2, optax 0.2.8.
"""

from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
from flax import serialization
from flax.training.train_state import TrainState

HERE = Path(__file__).parent
DTYPES = [
    "float16",
    "bfloat16",
    "float32",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "bool",
    "complex64",
    "float8_e4m3fn",
    "float8_e5m2",
]


class Net(nn.Module):
    @nn.compact
    def __call__(self, x, tokens):
        x = nn.Conv(4, (3, 3))(x)
        x = nn.BatchNorm(use_running_average=False)(x)
        x = nn.LayerNorm()(x.mean((1, 2)))
        y = nn.Embed(7, 4)(tokens)
        y = nn.MultiHeadDotProductAttention(num_heads=2, qkv_features=6)(y)
        y = nn.RMSNorm()(y.mean(1))
        return nn.Dense(3)(x + y)


def keep(name, tree):
    """The file, and each leaf under its path."""
    (HERE / f"{name}.msgpack").write_bytes(serialization.to_bytes(tree))
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(serialization.to_state_dict(tree)):
        value = np.asarray(leaf)
        small = value.dtype in (jnp.bfloat16, jnp.float8_e4m3fn, jnp.float8_e5m2)
        found["/".join(str(key.key) for key in path)] = value.astype("float32") if small else value
    np.savez(HERE / f"{name}.npz", **found)


def layers():
    """Single layers with an input and an output each, so that a neuron can be computed from its own weights."""
    x = jax.random.normal(jax.random.key(5), (3, 3, 4))
    stack = nn.vmap(nn.Dense, variable_axes={"params": 0}, split_rngs={"params": True})(5)
    made = {
        "dense": (nn.Dense(5), x[0, 0]),
        "conv": (nn.Conv(6, (3, 3), padding="VALID"), x[None]),
        "query": (nn.DenseGeneral((2, 3)), x[0, 0]),
        "embed": (nn.Embed(7, 4), jnp.asarray([3])),
        "stack": (stack, x[0]),
    }
    params, values = {}, {}
    for name, (layer, given) in made.items():
        params[name] = layer.init(jax.random.key(6), given)["params"]
        values[f"{name}_in"], values[f"{name}_out"] = given, layer.apply({"params": params[name]}, given)
    (HERE / "layers.msgpack").write_bytes(serialization.to_bytes({"params": params}))
    np.savez(HERE / "layers.npz", **values)


def main():
    layers()
    variables = Net().init(jax.random.key(0), jnp.ones((2, 5, 5, 3)), jnp.ones((2, 4), int))
    keep("net", variables)
    dense = nn.Dense(3)
    params = dense.init(jax.random.key(1), jnp.ones((1, 4)))
    keep("state", TrainState.create(apply_fn=dense.apply, params=params, tx=optax.adam(1e-3)))
    values = np.array([[0, 1, 2], [3, 4, 7]])
    tree = {name: jnp.asarray(values).astype(name) for name in DTYPES}
    numbers = {"a": np.float32(1.5), "b": np.int64(-3), "wide": np.arange(4.0), "int4": values.astype(ml_dtypes.int4)}
    (HERE / "dtypes.msgpack").write_bytes(serialization.msgpack_serialize({"x": tree, "numbers": numbers, "c": 1 + 2j}))
    serialization.MAX_CHUNK_SIZE = 64
    rng = np.random.default_rng(0)
    keep("chunked", {"params": {"d": {"kernel": rng.standard_normal((9, 7)), "bias": np.zeros(7)}}})


if __name__ == "__main__":
    main()
