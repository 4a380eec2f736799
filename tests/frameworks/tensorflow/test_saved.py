"""A loaded SavedModel: its layers are operations of a graph, found by the variables that they read."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is in an environment of its own: make test-tf")

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_samples import Dense, image, network, saved

import patchclamp as pc
from patchclamp.errors import KindError, RunError
from patchclamp.testing import check_framework


class One(tf.Module):
    """One operation with a weight and a bias."""

    def __init__(self, compute, *shapes, **inputs) -> None:
        super().__init__()
        draw = np.random.default_rng(3)
        self.part = tf.Module()
        self.part.w = tf.Variable(draw.standard_normal(shapes[0]).astype("float32"))
        if len(shapes) > 1:
            self.part.b = tf.Variable(draw.standard_normal(shapes[1]).astype("float32"))
        self.call = tf.function(lambda x: compute(self.part, x), input_signature=[tf.TensorSpec(**inputs)])

    def export(self, folder):
        tf.saved_model.save(self, str(folder), signatures=self.call)
        return tf.saved_model.load(str(folder))


def given(*shape):
    return np.random.default_rng(5).standard_normal(shape).astype("float32")


FORMS = {
    "MatMul": (lambda p, x: tf.matmul(x, p.w) + p.b, (5, 3), (3,), [None, 5], "MatMul"),
    "turned": (
        lambda p, x: tf.nn.bias_add(tf.matmul(x, p.w, transpose_b=True), p.b),
        (3, 5),
        (3,),
        [None, 5],
        "MatMul",
    ),
    "same": (
        lambda p, x: tf.nn.conv2d(x, p.w, [1, 2, 1, 1], "SAME") + p.b,
        (3, 2, 2, 4),
        (4,),
        [None, 7, 6, 2],
        "Conv2D",
    ),
    "valid, dilated": (
        lambda p, x: tf.nn.conv2d(x, p.w, 1, "VALID", dilations=2) + p.b,
        *((2, 3, 2, 4), (4,), [None, 9, 9, 2], "Conv2D"),
    ),
    "explicit": (
        lambda p, x: tf.nn.conv2d(x, p.w, 2, [[0, 0], [1, 2], [0, 1], [0, 0]]) + p.b,
        *((3, 3, 2, 4), (4,), [None, 6, 7, 2], "Conv2D"),
    ),
    "groups": (lambda p, x: tf.nn.conv2d(x, p.w, 1, "SAME"), (3, 3, 2, 6), None, [None, 5, 5, 6], "Conv2D"),
    "one axis": (lambda p, x: tf.nn.conv1d(x, p.w, 2, "SAME") + p.b, (3, 2, 4), (4,), [None, 8, 2], "Conv1D"),
    "three axes": (
        lambda p, x: tf.nn.conv3d(x, p.w, [1, 1, 2, 1, 1], "SAME") + p.b,
        *((2, 3, 2, 2, 4), (4,), [None, 4, 5, 4, 2], "Conv3D"),
    ),
    "depthwise": (
        lambda p, x: tf.nn.depthwise_conv2d(x, p.w, [1, 1, 1, 1], "SAME") + p.b,
        *((3, 3, 3, 2), (6,), [None, 5, 6, 3], "DepthwiseConv2dNative"),
    ),
    "transposed": (
        lambda p, x: tf.nn.conv2d_transpose(x, p.w, [2, 10, 12, 4], 2, "SAME") + p.b,
        *((3, 3, 4, 2), (4,), [2, 5, 6, 2], "Conv2DBackpropInput"),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_operation_is_known_recorded_and_recomputed(form, tmp_path):
    compute, weight, bias, shape, kind = FORMS[form]
    one = One(compute, *filter(None, (weight, bias)), shape=shape)
    x = given(*(2 if size is None else size for size in shape))
    loaded = one.export(tmp_path)
    net = pc.open(loaded)
    assert net.model.layers["part"].kind.title == kind and net.model.layers["part"].known == "stated"
    record = net["part[1]"].record(x)
    reads = {"groups": x[..., :2], "depthwise": x[..., 0]}.get(form, x)
    np.testing.assert_array_equal(record.inputs.numpy(), reads)
    np.testing.assert_allclose(record.output.numpy(), one.call(x).numpy()[..., 1], rtol=1e-5, atol=1e-5)
    check = net["part"].verify(x)
    assert check.ok and check.compared == one.call(x).numpy().size


def test_a_wrong_weight_is_noticed(tmp_path):
    one = One(FORMS["same"][0], (3, 2, 2, 4), (4,), shape=[None, 7, 6, 2])
    loaded = one.export(tmp_path)
    net, x = pc.open(loaded), given(2, 7, 6, 2)
    record = net["part[1]"].record(x).output.numpy()
    loaded.part.w.assign(loaded.part.w * 1.001)
    assert net["part[1]"].verify(x).ok
    assert not np.array_equal(net["part[1]"].record(x).output.numpy(), record)


def test_an_embedding_is_a_gather(tmp_path):
    one = One(lambda p, x: tf.nn.embedding_lookup(p.w, x) * 1.0, (9, 4), shape=[None, 3], dtype=tf.int32)
    net = pc.open(one.export(tmp_path))
    tokens = np.array([[1, 8, 0]])
    assert net.model.layers["part"].kind.title in ("ResourceGather", "GatherV2")
    np.testing.assert_array_equal(net["part[2]"].record(tokens).output.numpy(), one.part.w.numpy()[tokens, 2])
    assert net["part[2]"].verify(tokens)


def test_every_promise_of_a_framework(tmp_path):
    def compute(part, x):
        return tf.nn.relu(tf.matmul(tf.nn.relu(tf.matmul(x, part.w) + part.b), part.other.weight) + part.other.bias)

    one = One.__new__(One)
    tf.Module.__init__(one)
    one.first, one.second = Dense(5, 4), Dense(4, 3)
    one.call = tf.function(
        lambda x: one.second(tf.nn.relu(one.first(x))), input_signature=[tf.TensorSpec([None, 5], name="x")]
    )
    report = check_framework(one.export(tmp_path), given(3, 5))
    assert report.checked == ["first", "second"] and not report.silent


def test_a_network_runs_as_it_did_before_it_was_saved(tmp_path):
    net, x = network(), image()
    live, loaded = pc.open(net), pc.open(saved(net, tmp_path))
    pc.register(Dense, weight="in neuron", bias="neuron")
    try:
        live = pc.open(net)
        assert list(loaded.model.arrays) == list(live.model.arrays)
        for address in ("first[2]", "layers.1[1]"):
            there, here = loaded[address], live[address]
            assert there.weight.numpy().tobytes() == here.weight.numpy().tobytes()
            np.testing.assert_allclose(there.record(x).output, here.record(x).output, rtol=1e-5, atol=1e-5)
    finally:
        pc.forget(Dense)


def test_a_run_writes_nothing(tmp_path):
    loaded = saved(network(), tmp_path)
    pc.open(loaded)["conv[0]"].record(image())
    assert loaded.conv.runs.numpy() == 0
    loaded(image())
    assert loaded.conv.runs.numpy() == 1


def test_an_edit_changes_what_it_gives(tmp_path):
    loaded, x = saved(network(), tmp_path), image()
    net, before = pc.open(loaded), loaded(x).numpy()
    with net.edit() as edit:
        edit["layers.1[0]"].zero()
        assert (loaded(x).numpy()[:, 0] == 0).all() and (net["layers.1[0]"].record(x).output.numpy() == 0).all()
    np.testing.assert_array_equal(loaded(x).numpy(), before)


class Looped(tf.Module):
    """Its weight is read in a loop, where it has no one value."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = Dense(4, 4)

    @tf.function(input_signature=[tf.TensorSpec([None, 3, 4])])
    def __call__(self, x):
        state = tf.zeros_like(x[:, 0])
        for step in tf.range(tf.shape(x)[1]):
            state = tf.tanh(self.cell(state + x[:, step]))
        return state


def test_a_layer_in_a_loop_can_be_read_and_edited_but_says_why_it_is_not_recorded(tmp_path):
    loaded = saved(Looped(), tmp_path)
    net, x = pc.open(loaded), given(2, 3, 4)
    assert "While" in net.model.layers["cell"].problem and net.model.layers["cell"].known == "unknown"
    with pytest.raises((RunError, KindError), match="While"):
        net["cell"].record(x)
    assert net["cell"].arrays["weight"].shape == (4, 4)


def test_inputs_are_named(tmp_path):
    net = network()
    opened = pc.open(saved(net, tmp_path))
    named = opened["conv[0]"].record({"x": image()}).output.numpy()
    np.testing.assert_array_equal(named, opened["conv[0]"].record(image()).output.numpy())
    with pytest.raises(RunError, match="takes inputs called x, not y"):
        opened["conv[0]"].record({"y": image()})
    with pytest.raises(RunError, match="takes 1 inputs"):
        opened["conv[0]"].record((image(), image()))


def test_what_runs_is_said(tmp_path):
    assert "serving_default" in str(pc.open(saved(network(), tmp_path)))


@pytest.fixture(scope="module")
def pitch(tmp_path_factory):
    """basic-pitch's SavedModel of Keras 2. TensorFlow 2.21 loads it without the slots of its optimizer."""
    files = importlib.metadata.files("basic-pitch") if _has("basic-pitch") else None
    graph = next((file for file in files or () if file.name == "saved_model.pb"), None)
    if graph is None:
        pytest.skip("basic-pitch is not installed: pip install --no-deps -r requirements-models.txt")
    source, folder = Path(str(graph.locate())).parent, tmp_path_factory.mktemp("pitch") / "nmp"
    shutil.copytree(source, folder)
    said = saved_model_pb2.SavedModel()
    said.ParseFromString((folder / "saved_model.pb").read_bytes())
    for node in said.meta_graphs[0].object_graph_def.nodes:
        del node.slot_variables[:]
    (folder / "saved_model.pb").write_bytes(said.SerializeToString())
    return str(source), tf.saved_model.load(str(folder))


def _has(name):
    return any(found.metadata["Name"] == name for found in importlib.metadata.distributions())


def test_basic_pitch_has_one_address_in_its_file_and_live(pitch):
    source, loaded = pitch
    file, live = pc.open(source), pc.open(loaded)
    assert set(file.model.layers) == set(live.model.layers)
    for path, array in file.model.arrays.items():
        assert np.asarray(array.read()).tobytes() == live.model.arrays[path].storage.numbers().tobytes(), path
    for name, layer in file.model.layers.items():
        assert len(layer.main) == len(live.model.layers[name].main)
        for word in file[f"{name}[0]"].arrays:
            there, here = file[f"{name}[0]"].arrays[word], live[f"{name}[0]"].arrays[word]
            assert np.asarray(there).tobytes() == here.numpy().tobytes()


def test_basic_pitch_hears_a_tone_and_every_layer_is_recomputed(pitch):
    _, loaded = pitch
    live = pc.open(loaded)
    tone = np.sin(2 * np.pi * 440 * np.arange(43844) / 22050).astype("float32")[None, :, None]
    for name in live.model.layers:
        assert live[f"{name}[0]"].verify(tone), name
    notes = loaded.signatures["serving_default"](tf.constant(tone))["note"].numpy()[0].mean(axis=0)
    assert notes.argmax() == 48 and notes.max() > 0.6  # A4 is key 49 of a piano
