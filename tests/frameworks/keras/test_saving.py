"""Live Keras networks saved: by Keras in its own formats, by us as plain arrays, and the change of an edit alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_zoo import classifier, footprint, keras, layers, nested, numbers

import patchclamp as pc
from patchclamp.errors import EditError, FileError

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
X = np.random.default_rng(1).standard_normal((2, 8, 8, 3)).astype("float32")


def edited() -> tuple[Any, Any]:
    """A network with a neuron changed for good."""
    network = classifier()
    net = pc.open(network)
    edit = net.edit()
    edit["head[2]"].set(kernel=np.arange(144), bias=-0.0)
    edit.keep()
    return network, net


def same(mine: Any, other: Any) -> None:
    assert [v.name for v in mine.weights] == [v.name for v in other.weights]
    for one, two in zip(mine.weights, other.weights, strict=True):
        assert numbers(one).tobytes() == numbers(two).tobytes(), one.path


@pytest.mark.parametrize("file", ["m.keras", "m.h5"])
def test_keras_reads_what_is_saved(file: str, tmp_path: Path) -> None:
    network, net = edited()
    assert net.model.keeper.save_as(str(tmp_path / file))
    loaded = keras.models.load_model(tmp_path / file)
    same(network, loaded)
    assert numbers(loaded(X)).tobytes() == numbers(network(X)).tobytes()
    assert os.listdir(tmp_path) == [file]


def test_keras_reads_weights_that_are_saved(tmp_path: Path) -> None:
    network, net = edited()
    assert net.model.keeper.save_as(str(tmp_path / "m.weights.h5"))
    other = classifier()
    assert numbers(other(X)).tobytes() != numbers(network(X)).tobytes()
    other.load_weights(tmp_path / "m.weights.h5")
    same(network, other)


def test_the_saved_file_has_the_addresses_of_the_network(tmp_path: Path) -> None:
    network = nested()
    net = pc.open(network)
    net.model.keeper.save_as(str(tmp_path / "m.keras"))
    file = pc.open(tmp_path / "m.keras")
    mine = {name for name, layer in net.layers.items() if not name.endswith("seed_generator")}
    assert mine == set(file.layers)
    assert not list(pc.diff(net, file).rows)


def test_saving_leaves_nothing_on_the_model(tmp_path: Path) -> None:
    network, net = edited()
    before = footprint(network)
    for ending in (".keras", ".h5", ".weights.h5", ".safetensors"):
        net.save(tmp_path / f"m{ending}")
        assert footprint(network) == before, ending


def test_another_ending_is_not_ours(tmp_path: Path) -> None:
    _, net = edited()
    assert net.model.keeper.save_as(str(tmp_path / "m.safetensors")) is False
    assert not os.listdir(tmp_path)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, net = edited()
    target, link = tmp_path / "m.keras", tmp_path / "link.keras"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)

    def broken(*args: Any, **kwargs: Any) -> None:
        Path(args[0]).write_bytes(b"half")
        raise ValueError("the disk is full")

    monkeypatch.setattr(network, "save", broken)
    with pytest.raises(EditError, match=r"cannot save this model.*disk is full"):
        net.model.keeper.save_as(str(link))
    assert target.read_bytes() == b"old" and sorted(os.listdir(tmp_path)) == ["link.keras", "m.keras"]
    monkeypatch.undo()
    net.model.keeper.save_as(str(link))
    assert link.is_symlink() and target.stat().st_mode & 0o777 == 0o640
    same(network, keras.models.load_model(target))


def test_a_layer_is_saved_in_a_model_only(tmp_path: Path) -> None:
    layer = layers.Dense(3)
    layer.build((None, 2))
    with pytest.raises(EditError, match=r"Keras saves models.*\n.*Sequential"):
        pc.open(layer).model.keeper.save_as(str(tmp_path / "m.keras"))
    pc.open(layer).save(tmp_path / "m.safetensors")
    file = pc.open(tmp_path / "m.safetensors")
    assert np.array_equal(np.asarray(file.model.arrays["kernel"].read()), numbers(layer.kernel))


def test_plain_arrays_have_the_addresses_and_kinds_of_the_network(tmp_path: Path) -> None:
    network, net = edited()
    net.save(tmp_path / "m.safetensors")
    file = pc.open(tmp_path / "m.safetensors")
    assert set(file.model.arrays) == set(net.model.arrays)
    for path, array in net.model.arrays.items():
        assert np.asarray(file.model.arrays[path].read()).tobytes() == array.storage.numbers().tobytes(), path
    assert [layer.known for layer in file.layers.values()] == ["stated"] * 3
    assert np.array_equal(np.asarray(file["conv[1]"].weight), numbers(network.get_layer("conv").kernel)[..., 1])


def test_ties_are_stored_once(tmp_path: Path) -> None:
    keras.utils.clear_session()
    network = keras.Sequential([keras.Input((6, 6, 2)), layers.SpectralNormalization(layers.Conv2D(3, 2), name="s")])
    net = pc.open(network)
    entries, ties = net.model.keeper.state()
    assert ties == {"s.layer.kernel": "s.kernel"} and "s.layer.kernel" not in [name for name, *_ in entries]
    net.save(tmp_path / "m.safetensors")
    assert len(pc.open(tmp_path / "m.safetensors")["s.layer"]) == 3


def test_codes_are_not_saved_as_numbers(tmp_path: Path) -> None:
    network = classifier()
    network.get_layer("head").quantize("int8")
    net = pc.open(network)
    with pytest.raises(EditError, match=r"head.kernel is stored as int8.*\n.*\.keras"):
        net.save(tmp_path / "m.safetensors")
    assert net.model.keeper.save_as(str(tmp_path / "m.keras"))
    same(network, keras.models.load_model(tmp_path / "m.keras"))


def test_the_change_alone_is_applied_to_the_same_model(tmp_path: Path) -> None:
    network = classifier()
    net = pc.open(network)
    start = [numbers(variable).tobytes() for variable in network.weights]
    with net.edit() as edit:
        edit["head[2]"].scale(0.3)
        edit["conv[1]"].set(bias=-0.0)
        edit["norm[0]"].set(moving_mean=5.0)
        changed = [numbers(variable).tobytes() for variable in network.weights]
        edit.save(tmp_path / "change.safetensors")
    assert [numbers(variable).tobytes() for variable in network.weights] == start
    with net.edit() as edit:
        edit.load(tmp_path / "change.safetensors")
        assert [numbers(variable).tobytes() for variable in network.weights] == changed
    assert [numbers(variable).tobytes() for variable in network.weights] == start
    network.get_layer("head").bias.assign(np.ones(5))
    with net.edit() as edit, pytest.raises(EditError, match="another model"):
        edit.load(tmp_path / "change.safetensors")


def test_a_live_network_is_kept_in_memory_alone(tmp_path: Path) -> None:
    net = pc.open(classifier())
    with net.edit() as edit:
        edit["head[2]"].zero()
        with pytest.raises(EditError, match="kept in memory"):
            edit.keep(tmp_path / "m.keras")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_saved_bit_for_bit(dtype: str, tmp_path: Path) -> None:
    net = pc.open(classifier(dtype))
    net.save(tmp_path / "m.safetensors")
    file = pc.open(tmp_path / "m.safetensors")
    for path, array in net.model.arrays.items():
        found = file.model.arrays[path].read()
        assert (found.dtype, bytes(found.data)) == (array.dtype, array.storage.numbers().tobytes())


def test_what_is_held_is_what_was_opened() -> None:
    network = classifier()
    assert pc.open(network).model.keeper.held() is network


def test_what_keras_has_no_way_for_is_refused_in_words() -> None:
    network = classifier()
    net, before = pc.open(network), footprint(network)
    with pytest.raises(EditError, match=r"no further variables.*\n.*use_bias"):
        net["conv"].untie_bias((8, 8, 3))
    assert footprint(network) == before


def test_a_damaged_path_is_refused(tmp_path: Path) -> None:
    _, net = edited()
    with pytest.raises((EditError, FileError, OSError)):
        net.model.keeper.save_as(str(tmp_path / "no" / "such" / "m.keras"))
