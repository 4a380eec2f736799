"""Trees of arrays, and functions of such trees: layers by names and shapes, each use of a weight told of."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import patchclamp as pc
from patchclamp.errors import OpenError, RunError
from patchclamp.kinds import forget

RNG = np.random.default_rng(0)


def numbers(*shape: int) -> Any:
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


PARAMS = {
    "fc1": {"w": numbers(3, 5), "b": numbers(5)},
    "fc2": {"w": numbers(5, 5), "b": numbers(5)},
    "out": {"weight": numbers(2, 5), "bias": numbers(2)},
    "table": numbers(7, 3),
}
X = numbers(3)


@jax.jit
def network(params: Any, x: Any) -> Any:
    x = jax.nn.relu(x @ params["fc1"]["w"] + params["fc1"]["b"])
    x = jax.nn.gelu(params["fc2"]["b"] + jnp.dot(x, params["fc2"]["w"]))
    return params["out"]["weight"] @ x + params["out"]["bias"]


def sums() -> dict[str, Any]:
    """What each layer gives, in NumPy."""
    arrays = jax.tree_util.tree_map(lambda leaf: np.asarray(leaf, np.float64), PARAMS)
    first = np.asarray(X, np.float64) @ arrays["fc1"]["w"] + arrays["fc1"]["b"]
    second = np.maximum(first, 0) @ arrays["fc2"]["w"] + arrays["fc2"]["b"]
    bent = 0.5 * second * (1 + np.tanh(np.sqrt(2 / np.pi) * (second + 0.044715 * second**3)))
    return {"fc1": first, "fc2": second, "out": arrays["out"]["weight"] @ bent + arrays["out"]["bias"]}


def leaves_of(tree: Any) -> list[tuple[int, bytes]]:
    return [(id(leaf), np.asarray(leaf).tobytes()) for leaf in jax.tree_util.tree_leaves(tree)]


def test_layers_are_the_parts_that_hold_arrays() -> None:
    net = pc.open(PARAMS)
    known = {name: layer.known for name, layer in net.model.layers.items()}
    assert known == {"": "unknown", "fc1": "inferred", "fc2": "inferred", "out": "inferred"}
    np.testing.assert_array_equal(net["fc1[2]"].weight, PARAMS["fc1"]["w"][:, 2])
    np.testing.assert_array_equal(net["fc2[2]"].weight, PARAMS["fc2"]["w"][:, 2])
    np.testing.assert_array_equal(net["out[1]"].weight, PARAMS["out"]["weight"][1])
    assert net["out[1]"].bias == PARAMS["out"]["bias"][1]
    assert net["fc1[2]"].fan_in == 3 and net["fc1[2]"].bias == PARAMS["fc1"]["b"][2]
    assert [array.path for array in net.model.layers["fc1"].arrays] == ["fc1.b", "fc1.w"]


def test_a_tree_alone_cannot_run_and_says_what_can() -> None:
    net = pc.open(PARAMS)
    with pytest.raises(RunError, match="cannot run") as raised:
        net["fc1[2]"].record(X)
    assert "(function, params)" in raised.value.hint


def test_lists_of_pairs_follow_the_bias() -> None:
    net = pc.open([(numbers(3, 4), numbers(4)), (numbers(2, 4), numbers(2)), (numbers(2, 2), numbers(2))])
    lines = [layer.kind and dict(layer.kind.arrays)["weight"] for layer in net.model.layers.values()]
    assert lines == ["in neuron", "neuron in", None]
    assert len(net["0"]) == 4 and len(net["1"]) == 2 and net["2"].known == "unknown"


def test_words_of_flax_mean_what_they_mean_in_files() -> None:
    tree = {"conv": {"kernel": numbers(3, 3, 2, 4), "bias": numbers(4)}, "norm": {"scale": numbers(4)}}
    net = pc.open(tree)
    np.testing.assert_array_equal(net["conv[1]"].weight, tree["conv"]["kernel"][..., 1])
    assert net.model.layers["norm"].known == "inferred"


class Pair(NamedTuple):
    one: Any
    two: Any


def test_fields_places_and_keys_are_names() -> None:
    tree = Pair({"a": [numbers(2, 3)]}, (None, {"b": np.ones(2)}))
    assert list(pc.open(tree).model.arrays) == ["one.a.0", "two.1.b"]


@jax.tree_util.register_pytree_with_keys_class
class Scaled:
    """A class of a user's own."""

    def __init__(self, weight: Any, bias: Any) -> None:
        self.weight, self.bias = weight, bias

    def tree_flatten_with_keys(self) -> Any:
        key = jax.tree_util.GetAttrKey
        return ((key("weight"), self.weight), (key("bias"), self.bias)), None

    @classmethod
    def tree_unflatten(cls, _: None, children: Any) -> Scaled:
        return cls(*children)


def test_a_registered_class_is_stated() -> None:
    pc.register(Scaled, weight="in neuron", bias="neuron")
    try:
        tree = {"first": Scaled(numbers(4, 4), numbers(4))}
        net = pc.open((lambda params, x: x @ params["first"].weight + params["first"].bias, tree))
        assert net["first"].known == "stated"
        np.testing.assert_array_equal(net["first[1]"].weight, tree["first"].weight[:, 1])
        x = numbers(4)
        assert net["first"].verify(x).ok
        np.testing.assert_allclose(net["first[1]"].record(x).output, (x @ tree["first"].weight + tree["first"].bias)[1])
    finally:
        forget(Scaled)


def test_one_name_twice_is_refused() -> None:
    with pytest.raises(OpenError, match=r"'a.b'"):
        pc.open({"a.b": {"w": numbers(2)}, "a": {"b": {"w": numbers(2)}}})


@pytest.mark.parametrize("layer", ["fc1", "fc2", "out"])
def test_each_use_of_a_weight_is_told_of(layer: str) -> None:
    net = pc.open((network, PARAMS))
    found = net[layer].record(X)
    np.testing.assert_allclose(found.output, sums()[layer], rtol=1e-5)
    np.testing.assert_allclose(net[f"{layer}[1]"].record(X).output, sums()[layer][1], rtol=1e-5)
    assert net[layer].verify(X).ok


@pytest.mark.parametrize("layer", ["fc1", "fc2", "out"])
def test_a_batch_through_vmap(layer: str) -> None:
    batch = jnp.asarray(np.stack([X, -X, X]))
    net = pc.open((jax.vmap(network, in_axes=(None, 0)), PARAMS))
    np.testing.assert_allclose(net[f"{layer}[1]"].record(batch).output[::2], [sums()[layer][1]] * 2, rtol=1e-5)
    assert net[layer].verify(batch).ok


def test_what_the_function_gives_is_what_it_gives() -> None:
    net, given = pc.open((network, PARAMS)), []
    net["out[1]"].record(lambda run: given.append(run(X)))
    np.testing.assert_allclose(given[0], network(PARAMS, X), rtol=1e-6)


def test_a_weight_that_is_read_the_other_way_is_another_use() -> None:
    def both(params: Any, x: Any) -> Any:
        return params["w"] @ (x @ params["w"] + params["b"])

    net = pc.open((both, {"w": numbers(3, 4), "b": numbers(4)}))
    calls = net[""].record(X).calls
    assert len(calls) == 1 and calls[0].output.shape == (4,)


def test_a_wrong_bias_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from patchclamp.frameworks.jax.holding import Leaf

    net, read = pc.open((network, PARAMS)), Leaf.read
    monkeypatch.setattr(Leaf, "read", lambda self, key=(): read(self, key) * (1.01 if self.path[-1] == "b" else 1))
    assert not net["fc1"].verify(X).ok


def test_weights_inside_a_loop_are_not_seen_and_that_is_said() -> None:
    def looped(params: Any, x: Any) -> Any:
        return jax.lax.fori_loop(0, 2, lambda _, y: y @ params["w"], x)

    with pytest.raises(RunError, match="did not run"):
        pc.open((looped, {"w": numbers(3, 3)}))[""][1].record(X)


def test_an_edit_is_a_copy_and_the_original_is_held_again(tmp_path: Any) -> None:
    before, pair = leaves_of(PARAMS), (network, PARAMS)
    net = pc.open(pair)
    with net.edit() as edit:
        edit["fc1[2]"].zero()
        assert not np.asarray(net.held[1]["fc1"]["w"][:, 2]).any() and net.held[0] is network
        assert net["fc1[2]"].record(X).output == 0
        assert leaves_of(PARAMS) == before
    assert net.held is pair and leaves_of(PARAMS) == before
    net.save(str(tmp_path / "params.safetensors"))
    file = pc.open(str(tmp_path / "params.safetensors"))
    np.testing.assert_array_equal(file["out[1]"].weight, PARAMS["out"]["weight"][1])


def test_shapes_are_counted_without_numbers() -> None:
    counted = pc.open((network, PARAMS)).count(input=(3,))
    assert counted["fc1"].positions == () or counted["fc1"].positions is None
    assert counted["fc1"].calls == counted["out"].calls == 1
    with pytest.raises(RunError, match="on an input of shape"):
        pc.open((network, PARAMS)).count(input=(4,))


def test_arrays_functions_and_trees_without_arrays_are_no_networks() -> None:
    for thing in (jnp.ones(3), network, {"a": 1}, [np.ones(2)], ()):
        with pytest.raises(OpenError):
            pc.open(thing)
