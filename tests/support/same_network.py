"""One trained network in every framework: a small CNN beside an LSTM, with the same numbers.

It reads a digit of 8 x 8 twice: as an image, and as eight rows, one a step. The convolutions end in a mean over the
map, so no slot depends on how a framework lays its axes.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import nn

CHANNELS, UNITS, CLASSES = 8, 12, 10
LAYERS = ("conv1", "conv2", "lstm", "fc")


class Digits(nn.Module):
    """The network in torch. The second bias of its LSTM is zero: other frameworks have one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3)
        self.conv2 = nn.Conv2d(6, CHANNELS, 3, padding=1)
        self.lstm = nn.LSTM(8, UNITS, batch_first=True)
        self.fc = nn.Linear(CHANNELS + UNITS, CLASSES)
        with torch.no_grad():
            self.lstm.bias_hh_l0.zero_()
        self.lstm.bias_hh_l0.requires_grad_(False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        seen = torch.relu(self.conv2(torch.relu(self.conv1(image[:, None])))).mean((2, 3))
        _, (last, _) = self.lstm(image)
        return self.fc(torch.cat([seen, last[0]], dim=1))


@functools.cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """The digits of scikit-learn would need it installed; these are drawn: ten patterns, shifted and noisy."""
    rng = np.random.default_rng(0)
    patterns = rng.random((CLASSES, 8, 8)) < 0.35
    labels = rng.integers(0, CLASSES, 600)
    images = np.stack([np.roll(patterns[label], rng.integers(-1, 2, 2), (0, 1)) for label in labels])
    noisy = images + 0.2 * rng.standard_normal(images.shape)
    return noisy.astype(np.float32), labels


@functools.cache
def trained() -> Digits:
    """The network in torch, trained for some seconds: it must know most of what it has not seen."""
    torch.manual_seed(0)
    images, labels = (torch.from_numpy(part) for part in digits())
    net = Digits()
    optimizer = torch.optim.Adam((p for p in net.parameters() if p.requires_grad), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images[:500]), labels[:500]).backward()
        optimizer.step()
    with torch.no_grad():
        right = float((net(images[500:]).argmax(1) == labels[500:]).float().mean())
    assert right > 0.5, right
    return net.eval()


@functools.cache
def weights() -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in trained().state_dict().items()}


def examples() -> np.ndarray:
    return digits()[0][500:504]


def in_torch() -> Any:
    return trained()


def in_keras() -> Any:
    """On whatever backend Keras has."""
    import keras
    from keras import layers

    given = keras.Input((8, 8), name="image")
    x = layers.Reshape((8, 8, 1), name="channel")(given)
    x = layers.Conv2D(6, 3, activation="relu", name="conv1")(x)
    x = layers.Conv2D(CHANNELS, 3, padding="same", activation="relu", name="conv2")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    h = layers.LSTM(UNITS, name="lstm")(given)
    model = keras.Model(given, layers.Dense(CLASSES, name="fc")(layers.Concatenate(name="both")([x, h])))
    w = weights()
    for name in ("conv1", "conv2"):
        model.get_layer(name).set_weights([w[f"{name}.weight"].transpose(2, 3, 1, 0), w[f"{name}.bias"]])
    bias = w["lstm.bias_ih_l0"]
    model.get_layer("lstm").set_weights([w["lstm.weight_ih_l0"].T, w["lstm.weight_hh_l0"].T, bias])
    model.get_layer("fc").set_weights([w["fc.weight"].T, w["fc.bias"]])
    return model


def _kernels() -> dict[str, Any]:
    """The numbers as JAX libraries lay them: kernels with the neuron last."""
    import jax.numpy as jnp

    w = weights()
    found = {
        name: {"kernel": w[f"{name}.weight"].transpose(2, 3, 1, 0), "bias": w[f"{name}.bias"]}
        for name in ("conv1", "conv2")
    }
    found["fc"] = {"kernel": w["fc.weight"].T, "bias": w["fc.bias"]}
    return {name: {word: jnp.asarray(part) for word, part in held.items()} for name, held in found.items()}


def in_nnx() -> Any:
    import jax
    import jax.numpy as jnp
    from flax import nnx

    first: Any = {"kernel_init": nnx.initializers.zeros}  # to draw them would be compiled for each

    class Net(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.conv1 = nnx.Conv(1, 6, (3, 3), padding="VALID", **first, rngs=rngs)
            self.conv2 = nnx.Conv(6, CHANNELS, (3, 3), **first, rngs=rngs)
            zeros = nnx.initializers.zeros
            self.lstm = nnx.OptimizedLSTMCell(8, UNITS, recurrent_kernel_init=zeros, **first, rngs=rngs)
            self.fc = nnx.Linear(CHANNELS + UNITS, CLASSES, **first, rngs=rngs)

        def __call__(self, image: jax.Array) -> jax.Array:
            seen = jax.nn.relu(self.conv2(jax.nn.relu(self.conv1(image[..., None])))).mean((1, 2))
            carry = (jnp.zeros((len(image), UNITS)),) * 2
            for step in range(8):
                carry, last = self.lstm(carry, image[:, step])
            return self.fc(jnp.concatenate([seen, last], axis=1))

    net, w = Net(nnx.Rngs(0)), weights()
    for name, held in _kernels().items():
        for word, value in held.items():
            getattr(getattr(net, name), word)[...] = value
    net.lstm.dense_i.kernel[...] = jnp.asarray(w["lstm.weight_ih_l0"].T)
    net.lstm.dense_h.kernel[...] = jnp.asarray(w["lstm.weight_hh_l0"].T)
    net.lstm.dense_h.bias[...] = jnp.asarray(w["lstm.bias_ih_l0"])
    return net


def in_linen() -> Any:
    import jax.numpy as jnp
    from flax import linen

    # At each call flax traces how each kernel would be drawn, to compare its shape: zeros are quickest.
    first = {"kernel_init": linen.initializers.zeros}

    class Net(linen.Module):
        @linen.compact
        def __call__(self, image: Any) -> Any:
            x = linen.relu(linen.Conv(6, (3, 3), padding="VALID", **first, name="conv1")(image[..., None]))
            seen = linen.relu(linen.Conv(CHANNELS, (3, 3), **first, name="conv2")(x)).mean((1, 2))
            cell = linen.OptimizedLSTMCell(UNITS, recurrent_kernel_init=linen.initializers.zeros, **first, name="lstm")
            carry = (jnp.zeros((len(image), UNITS)),) * 2
            for step in range(8):
                carry, last = cell(carry, image[:, step])
            return linen.Dense(CLASSES, **first, name="fc")(jnp.concatenate([seen, last], axis=1))

    w, params = weights(), _kernels()
    gates = dict(zip("ifgo", range(4), strict=True))
    rows = {gate: slice(number * UNITS, (number + 1) * UNITS) for gate, number in gates.items()}
    lstm: dict[str, Any] = {f"i{gate}": {"kernel": w["lstm.weight_ih_l0"][at].T} for gate, at in rows.items()}
    for gate, at in rows.items():
        lstm[f"h{gate}"] = {"kernel": w["lstm.weight_hh_l0"][at].T, "bias": w["lstm.bias_ih_l0"][at]}
    params["lstm"] = {gate: {word: jnp.asarray(v) for word, v in held.items()} for gate, held in lstm.items()}
    return Net(), {"params": params}, jnp.zeros((1, 8, 8))


def in_equinox() -> Any:
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    class Net(eqx.Module):
        conv1: Any
        conv2: Any
        lstm: Any
        fc: Any

        def __call__(self, image: jax.Array) -> jax.Array:
            seen = jax.nn.relu(self.conv2(jax.nn.relu(self.conv1(image[None])))).mean((1, 2))
            state = (jnp.zeros(UNITS),) * 2
            for step in range(8):
                state = self.lstm(image[step], state)
            return self.fc(jnp.concatenate([seen, state[0]]))

    key, w = jax.random.key(0), {name: jnp.asarray(value) for name, value in weights().items()}
    net = eqx.filter_eval_shape(  # every array is put in below
        lambda: Net(
            eqx.nn.Conv2d(1, 6, 3, key=key),
            eqx.nn.Conv2d(6, CHANNELS, 3, padding=1, key=key),
            eqx.nn.LSTMCell(8, UNITS, key=key),
            eqx.nn.Linear(CHANNELS + UNITS, CLASSES, key=key),
        )
    )
    places = {
        "conv1.weight": w["conv1.weight"],
        "conv1.bias": w["conv1.bias"][:, None, None],
        "conv2.weight": w["conv2.weight"],
        "conv2.bias": w["conv2.bias"][:, None, None],
        "lstm.weight_ih": w["lstm.weight_ih_l0"],
        "lstm.weight_hh": w["lstm.weight_hh_l0"],
        "lstm.bias": w["lstm.bias_ih_l0"],
        "fc.weight": w["fc.weight"],
        "fc.bias": w["fc.bias"],
    }
    for path, value in places.items():
        layer, _, word = path.partition(".")
        net = eqx.tree_at(lambda tree, layer=layer, word=word: getattr(getattr(tree, layer), word), net, value)
    return net


def in_onnx(path: str) -> str:
    """A file, as torch exports it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    w = weights()

    def gates(rows: np.ndarray) -> np.ndarray:
        i, f, g, o = rows.reshape(4, UNITS, *rows.shape[1:])
        return np.concatenate([i, o, f, g])[None]

    bias = np.concatenate([gates(w["lstm.bias_ih_l0"]), gates(w["lstm.bias_hh_l0"])], axis=1)
    held = {
        **{name: w[name] for name in w if not name.startswith("lstm")},
        "lstm_W": gates(w["lstm.weight_ih_l0"]),
        "lstm_R": gates(w["lstm.weight_hh_l0"]),
        "lstm_B": bias,
        "one": np.array([1], np.int64),
        "map": np.array([2, 3], np.int64),
        "zero": np.array([0], np.int64),
    }
    nodes = [
        helper.make_node("Unsqueeze", ["image", "one"], ["channel"], "/channel"),
        helper.make_node("Conv", ["channel", "conv1.weight", "conv1.bias"], ["c1"], "/conv1/Conv"),
        helper.make_node("Relu", ["c1"], ["r1"], "/relu1"),
        helper.make_node("Conv", ["r1", "conv2.weight", "conv2.bias"], ["c2"], "/conv2/Conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"], "/relu2"),
        helper.make_node("ReduceMean", ["r2", "map"], ["seen"], "/mean", keepdims=0),
        helper.make_node("Transpose", ["image"], ["steps"], "/steps", perm=[1, 0, 2]),
        helper.make_node(
            "LSTM", ["steps", "lstm_W", "lstm_R", "lstm_B"], ["", "last", ""], "/lstm/LSTM", hidden_size=UNITS
        ),
        helper.make_node("Squeeze", ["last", "zero"], ["h"], "/squeeze"),
        helper.make_node("Concat", ["seen", "h"], ["both"], "/concat", axis=1),
        helper.make_node("Gemm", ["both", "fc.weight", "fc.bias"], ["y"], "/fc/Gemm", transB=1),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", CLASSES])
    stored = [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in held.items()]
    graph = helper.make_graph(nodes, "digits", [image], [y], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path
