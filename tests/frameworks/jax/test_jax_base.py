"""What every library of JAX stands on: leaves that are replaced, values under transformations, calls that are heard."""

from __future__ import annotations

import threading
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from patchclamp.arrays import Array
from patchclamp.errors import EditError, KindError, RunError
from patchclamp.frameworks.jax import values
from patchclamp.frameworks.jax.holding import Leaf, Tree, path_name
from patchclamp.frameworks.jax.keeping import JaxKeeper, written_beside
from patchclamp.frameworks.jax.running import called, size_of
from patchclamp.frameworks.jax.watching import definer, hearing, hearing_function
from patchclamp.geometry import NOTHING


def leaf(tree: Tree, number: int = 0) -> Leaf:
    value = tree.leaves[number]
    shape = jax.random.key_data(value).shape if values.is_key(value) else value.shape
    return Leaf(tree.place(number), f"leaf{number}", tuple(shape))


def test_what_is_written_is_in_a_copy_and_the_original_is_untouched() -> None:
    original = {"a": jnp.arange(6.0).reshape(2, 3), "b": [np.ones(3), None]}
    before = np.asarray(original["a"]).tobytes()
    tree = Tree(original)
    leaf(tree).write((1, slice(0, 2)), np.array([7.0, 8.0], np.float32))
    assert tree.held() is not original
    np.testing.assert_array_equal(tree.held()["a"], [[0, 1, 2], [7, 8, 5]])
    assert tree.held()["b"][0] is original["b"][0]
    assert np.asarray(original["a"]).tobytes() == before


def test_numpy_leaves_are_not_written_in_place() -> None:
    original = [np.ones(3)]
    tree = Tree(original)
    leaf(tree).write((0,), np.array(5.0))
    np.testing.assert_array_equal(original[0], [1, 1, 1])
    np.testing.assert_array_equal(tree.held()[0], [5, 1, 1])


def test_the_same_bytes_again_are_the_original_object() -> None:
    original = [jnp.arange(3.0)]
    tree = Tree(original)
    leaf(tree).write((0,), np.array(5.0, np.float32))
    leaf(tree).write((0,), np.array(0.0, np.float32))
    assert tree.held() is original
    leaf(tree).write((0,), np.array(-0.0, np.float32))
    assert tree.held() is not original


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "int8", "int4"])
def test_every_bit_pattern_is_read_and_written(name: str) -> None:
    dtype = jnp.dtype(name)
    if name == "int4":
        numbers: Any = np.arange(-8, 8).astype(ml_dtypes.int4)
    else:
        bits = {1: np.uint8, 2: np.uint16, 4: np.uint32}[dtype.itemsize]
        most = 256 if dtype.itemsize == 1 else 1000
        codes = np.linspace(0, 2 ** (8 * dtype.itemsize) - 1, most).astype(bits)
        numbers = codes.view(dtype)
    tree = Tree([jnp.zeros(len(numbers) + 1, dtype)])
    leaf(tree).write((slice(1, None),), numbers)
    found = leaf(tree).numbers((slice(1, None),))
    assert found.dtype == dtype
    assert found.tobytes() == numbers.tobytes()
    assert np.asarray(tree.held()[0])[1:].tobytes() == numbers.tobytes()
    assert tree.held()[0].dtype == dtype


def test_float64_stays_float64_where_it_is_switched_off() -> None:
    with jax.enable_x64(True):
        array = jnp.full((2, 2), 1 / 3)
    tree = Tree([array])
    assert leaf(tree).read((0,)).dtype == np.float64
    leaf(tree).write((0, 1), np.array(1 / 7))
    assert tree.held()[0].dtype == np.float64
    np.testing.assert_array_equal(np.asarray(tree.held()[0]), [[1 / 3, 1 / 7], [1 / 3, 1 / 3]])


def test_a_weakly_typed_leaf_stays_weakly_typed() -> None:
    tree = Tree([jnp.asarray(2.0)])
    leaf(tree).write((), np.array(3.0, np.float32))
    assert tree.held()[0].weak_type and tree.held()[0] == 3


def test_one_object_in_two_places_is_one_array() -> None:
    shared = jnp.ones(2)
    tree = Tree({"a": shared, "b": jnp.ones(2), "c": shared})
    assert tree.place(0).identity == tree.place(2).identity != tree.place(1).identity
    leaf(tree, 2).write((0,), np.array(4.0, np.float32))
    np.testing.assert_array_equal(tree.held()["a"], [4, 1])
    np.testing.assert_array_equal(tree.held()["b"], [1, 1])


def test_random_keys_are_their_data() -> None:
    tree = Tree([jax.random.key(3)])
    np.testing.assert_array_equal(leaf(tree).numbers(), jax.random.key_data(jax.random.key(3)))
    leaf(tree).write((), np.asarray(jax.random.key_data(jax.random.key(4))))
    assert jax.random.uniform(tree.held()[0]) == jax.random.uniform(jax.random.key(4))


def test_a_shape_without_numbers_says_so() -> None:
    tree = Tree([jax.eval_shape(lambda: jnp.ones(3))])
    with pytest.raises(KindError, match="leaf0 is a shape without numbers"):
        leaf(tree).read()
    with pytest.raises(KindError, match="a shape without numbers"):
        leaf(tree).numbers()
    assert "shape without numbers" in leaf(tree).why_not()


def test_a_donated_array_says_so() -> None:
    array = jnp.ones(3)
    tree = Tree([array])
    array.delete()
    with pytest.raises(KindError, match="donated"):
        leaf(tree).read()


def test_names_of_paths() -> None:
    paths = Tree({"a": [1, {"b": 2}], "c": (3,)}).paths()
    assert [path_name(path) for path in paths] == ["a.0", "a.1.b", "c.0"]


def test_nested_maps_stand_in_front_the_outermost_first() -> None:
    x = jnp.arange(24.0).reshape(2, 3, 4)
    seen: list[Any] = []

    def function(row: Any) -> Any:
        seen.append((values.unwrapped(row), values.mapped(row)))
        return row

    jax.vmap(jax.vmap(function))(x)
    jax.vmap(function, in_axes=1)(x[0])
    np.testing.assert_array_equal(seen[0][0], x)
    np.testing.assert_array_equal(seen[1][0], x[0].T)
    assert [depth for _, depth in seen] == [2, 1]


def test_a_gradient_shows_its_primal_and_a_trace_is_an_error() -> None:
    x = jnp.arange(3.0)
    seen: list[Any] = []
    jax.grad(lambda y: (seen.append(values.concrete(y, "fc")), y.sum())[1])(x)
    np.testing.assert_array_equal(seen[0], x)
    with pytest.raises(RunError, match="'fc' ran while JAX was tracing"):
        jax.jit(lambda y: values.concrete(y, "fc"))(x)


def test_mappings_keep_their_order() -> None:
    seen: list[Any] = []
    jax.vmap(lambda y: seen.append(list(values.unwrapped({"z": y, "a": y}))))(jnp.ones(2))
    assert seen == [["z", "a"]]


def test_take_gives_zero_for_nothing() -> None:
    x = jnp.arange(1.0, 5.0)[None]
    np.testing.assert_array_equal(values.take(x, 1, [3, NOTHING, 0]), [[4, 0, 1]])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float8_e5m2", "complex64", "int4", "bool"])
def test_numbers_widen_exactly(dtype: str) -> None:
    array = jnp.asarray([0, 1, 1], dtype=dtype)
    found = values.numpy(array)
    assert found.dtype in (np.float64, np.complex128, np.int64, bool)
    np.testing.assert_array_equal(found, [0, 1, 1])


def test_precision_follows_types_and_settings() -> None:
    x = jnp.ones(2)
    assert values.precision([x], x).sum == 2.0**-24
    assert values.precision([x], x.astype(jnp.bfloat16)).result == 2.0**-8
    assert values.precision([x], x).product == 0
    with jax.default_matmul_precision("BF16_BF16_F32"):
        assert values.precision([x], x).product == 2.0**-7


class Doubler:
    def __call__(self, x: int) -> int:
        return 2 * x


class More(Doubler):
    def __call__(self, x: int) -> int:
        return super().__call__(x) + 1


def test_calls_are_heard_in_their_own_thread_alone_and_the_class_is_as_before() -> None:
    before, heard = vars(Doubler)["__call__"], []
    one, other = Doubler(), Doubler()

    class Telling:
        def __enter__(self) -> Any:
            return heard.append

        def __exit__(self, *_: Any) -> None:
            pass

    def listen(self: Any, args: Any, kwargs: Any) -> Any:
        return Telling() if self is one else None

    def interrupted() -> None:
        with hearing([(Doubler, "__call__")], listen):
            assert one(2) == 4 and other(3) == 6
            thread = threading.Thread(target=lambda: one(50))
            thread.start()
            thread.join()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert heard == [4]
    assert vars(Doubler)["__call__"] is before


def test_two_runs_may_overlap_and_super_is_no_call_of_its_own() -> None:
    before, heard = vars(Doubler)["__call__"], []

    class Telling:
        def __enter__(self) -> Any:
            return heard.append

        def __exit__(self, *_: Any) -> None:
            pass

    outer, inner = (hearing([(Doubler, "__call__"), (More, "__call__")], lambda *_: Telling()) for _ in range(2))
    with outer:
        with inner:
            assert More()(2) == 5
        assert heard == [5, 5]
        assert More()(1) == 3
    assert heard == [5, 5, 3]
    assert vars(Doubler)["__call__"] is before
    assert definer(More) is More


def test_a_function_of_a_module_is_heard() -> None:
    import json

    before = json.dumps
    with hearing_function(json, "dumps", lambda own, args, kwargs: own(*args, **kwargs) + "!"):
        assert json.dumps([1]) == "[1]!"
    assert json.dumps is before


def test_inputs_are_arrays_tuples_mappings_or_functions() -> None:
    def network(x: Any, y: Any = 0) -> Any:
        return x + y

    assert isinstance(called(network, np.ones(2)), jax.Array)
    assert called(network, (1, 2)) == 3
    assert called(network, {"x": 1, "y": 4}) == 5
    assert called(network, lambda model: model(3, 3)) == 6
    np.testing.assert_array_equal(called(network, [1.0, 2.0]), [1, 2])


def test_sizes() -> None:
    assert size_of((1, 28, 28)) == (1, 28, 28)
    assert size_of(jnp.ones(3)) is None
    with pytest.raises(RunError, match="no input size"):
        size_of((3, -1))


def test_edits_that_end_in_any_order_end_with_the_original() -> None:
    original = [jnp.arange(4.0)]
    tree = Tree(original)
    array = Array("a", "a", (4,), "float32", leaf(tree))
    keeper = JaxKeeper(tree.held, [array])
    first, second = keeper.ledger(), keeper.ledger()
    first.change(array, (slice(0, 3),), "set", np.full(3, 8.0))
    second.change(array, (slice(2, 4),), "zero", None)
    np.testing.assert_array_equal(keeper.held()[0], [8, 8, 0, 0])
    first.undo()
    np.testing.assert_array_equal(keeper.held()[0], [0, 1, 0, 0])
    second.undo()
    assert keeper.held() is original


def test_freezing_and_untying_say_what_to_do() -> None:
    keeper = JaxKeeper(lambda: None, [])
    array = Array("w", "fc.w", (1,), "float32", leaf(Tree([jnp.ones(1)])))
    with pytest.raises(EditError, match=r"optax\.masked"):
        keeper.freeze([(array, ())])
    with pytest.raises(EditError, match="'conv'"):
        keeper.untie("conv", (3,), lambda: None)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Any) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"before")

    def fails(file: Any) -> None:
        file.write(b"half")
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        written_beside(str(path), fails)
    assert path.read_bytes() == b"before" and len(list(tmp_path.iterdir())) == 1
    written_beside(str(path), lambda file: file.write(b"after") and None)
    assert path.read_bytes() == b"after" and len(list(tmp_path.iterdir())) == 1
