"""Saving a TensorFlow network: its own formats as TensorFlow reads them, safetensors with the same addresses."""

from __future__ import annotations

import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is in an environment of its own: make test-tf")

import numpy as np
import tensorflow as tf
from safetensors.numpy import load_file
from tensorflow_samples import Dense, image, network, saved

import patchclamp as pc
from patchclamp.errors import EditError


def test_a_saved_model_is_written_as_a_whole_and_over_another(tmp_path):
    net, x, target = network(), image(), tmp_path / "out"
    opened = pc.open(net)
    opened.save(f"{target}/")
    np.testing.assert_array_equal(tf.saved_model.load(str(target))(x), net(x))
    net.layers[1].bias.assign([9.0, 9.0, 9.0])
    opened.save(f"{target}/")
    assert tf.saved_model.load(str(target)).layers[1].bias.numpy().tolist() == [9.0, 9.0, 9.0]
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    with pytest.raises(EditError, match="holds something else"):
        pc.open(network()).save(f"{tmp_path}/mine/")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep me"


def test_an_edited_saved_model_can_be_saved_again(tmp_path):
    net, x = network(), image()
    loaded = saved(net, tmp_path / "first")
    opened = pc.open(loaded)
    with opened.edit() as edit:
        edit["layers.0[2]"].zero()
        edit.keep()
    opened.save(f"{tmp_path}/second/")
    again = tf.saved_model.load(str(tmp_path / "second"))
    assert not again.layers[0].weight.numpy()[:, 2].any()
    np.testing.assert_array_equal(again(x), loaded(x))
    assert list(again.signatures) == list(loaded.signatures)


def test_a_checkpoint_restores_into_a_new_network(tmp_path):
    net, other = network(), network()
    net.scale.assign(5.0)
    pc.open(net).save(str(tmp_path / "weights.index"))
    tf.train.Checkpoint(root=other).read(str(tmp_path / "weights")).assert_existing_objects_matched()
    assert other.scale.numpy() == 5.0
    assert sorted(item.name for item in tmp_path.iterdir()) == ["weights.data-00000-of-00001", "weights.index"]


def test_the_file_has_the_addresses_of_the_live_network(tmp_path):
    net = network()
    opened = pc.open(net)
    opened.save(str(tmp_path / "weights.index"))
    file = pc.open(str(tmp_path / "weights.index"))
    here, there = opened.model.arrays, file.model.arrays
    assert here.keys() == there.keys()
    for path in here:
        assert np.asarray(there[path].read()).tobytes() == here[path].storage.numbers().tobytes(), path


def test_safetensors_hold_the_same_bits_and_ties(tmp_path):
    net = Dense(3, 2)
    net.other = Dense(3, 2)
    net.other.weight = net.weight
    pc.open(net).save(tmp_path / "out.safetensors")
    found = load_file(tmp_path / "out.safetensors")
    assert set(found) == {"weight", "bias", "other.bias"}
    assert found["weight"].tobytes() == net.weight.numpy().tobytes()


def test_a_change_is_saved_and_loaded(tmp_path):
    net = network()
    opened = pc.open(net)
    pc.register(Dense, weight="in neuron", bias="neuron")
    try:
        opened = pc.open(net)
        with opened.edit() as edit:
            edit["layers.0[1]"].scale(3)
            edit.save(tmp_path / "change.safetensors")
            wanted = net.layers[0].weight.numpy()
        with opened.edit() as edit:
            edit.load(tmp_path / "change.safetensors")
            np.testing.assert_array_equal(net.layers[0].weight.numpy(), wanted)
    finally:
        pc.forget(Dense)
