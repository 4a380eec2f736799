"""Where a convolution looks, against torch's own padding, unfolding and output sizes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from patchclamp.errors import KindError
from patchclamp.geometry import NOTHING, Geometry

MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


@settings(max_examples=150)
@given(st.data())
def test_a_tap_reads_what_torch_pads_and_unfolds(data):
    length, kernel = data.draw(st.integers(4, 12)), data.draw(st.integers(1, 4))
    stride, dilation, padding = (data.draw(st.integers(low, 3)) for low in (1, 1, 0))
    mode = data.draw(st.sampled_from(list(MODES)))
    if length + 2 * padding < dilation * (kernel - 1) + 1:
        return
    x = torch.arange(1.0, length + 1).reshape(1, 1, length)  # zero is the padding
    padded = functional.pad(x, (padding, padding), mode=MODES[mode])[0, 0]
    geometry = Geometry.of(
        {"stride": stride, "dilation": dilation, "padding": padding, "padding_mode": mode}, (kernel,)
    )
    (extent,) = geometry.output((length,))
    layer = nn.Conv1d(1, 1, kernel, stride, padding, dilation, padding_mode=mode)
    assert extent == layer(x).shape[-1]
    for place in range(extent):
        taps = geometry.taps(0, length, place)
        reads = [0.0 if tap == NOTHING else float(x[0, 0, tap]) for tap in taps]
        assert reads == [float(padded[place * stride + tap * dilation]) for tap in range(kernel)]


@settings(max_examples=150)
@given(st.data())
def test_the_taps_of_a_transposed_convolution(data):
    """Each weight alone: the output is the inputs that its tap reads."""
    length, kernel = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    stride, dilation = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    padding = data.draw(st.integers(0, dilation * (kernel - 1) // 2))
    extra = data.draw(st.integers(0, max(stride, dilation) - 1))
    layer = nn.ConvTranspose1d(1, 1, kernel, stride, padding, extra, bias=False, dilation=dilation)
    geometry = Geometry.of(
        {
            "stride": stride,
            "dilation": dilation,
            "padding": padding,
            "output_padding": extra,
            "transposed": True,
        },
        (kernel,),
    )
    x = torch.arange(1.0, length + 1).reshape(1, 1, length)
    with torch.no_grad():
        assert geometry.output((length,)) == (layer(x).shape[-1],)
        for tap in range(kernel):
            layer.weight.zero_()
            layer.weight[0, 0, tap] = 1
            for place, value in enumerate(layer(x)[0, 0].tolist()):
                read = geometry.taps(0, length, place)[tap]
                assert value == (0 if read == NOTHING else float(x[0, 0, read]))


@settings(max_examples=60)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(5, 9))
def test_same_padding_keeps_the_size(kernel, dilation, length):
    if length < dilation * (kernel - 1):
        return
    geometry = Geometry.of({"padding": "same", "dilation": dilation}, (kernel,))
    assert geometry.output((length,)) == (length,)


def test_two_axes_are_apart():
    layer = nn.Conv2d(1, 1, (3, 5), (2, 1), (1, 0), (1, 2))
    geometry = Geometry.of({"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}, (3, 5))
    assert geometry.output((11, 14)) == tuple(layer(torch.zeros(1, 1, 11, 14)).shape[2:])


def test_a_kernel_that_does_not_fit():
    with pytest.raises(KindError, match="reaches over 5 does not fit an input of 4"):
        Geometry.of({}, (5,)).output((4,))


def test_a_size_of_another_rank():
    with pytest.raises(KindError, match="the map has 2 axes"):
        Geometry.of({}, (3, 3)).output((8,))


def test_a_padding_mode_that_is_not_known():
    with pytest.raises(KindError, match="padding mode 'mirror'"):
        Geometry.of({"padding": 1, "padding_mode": "mirror"}, (3,)).taps(0, 5, 0)


@settings(max_examples=60)
@given(st.data())
def test_the_words_of_keras_and_jax_mean_their_own_padding(data):
    """`same` follows from the size of the map and the stride; the taps of a transposed kernel may run either way."""
    jax = pytest.importorskip("jax")
    lax, jnp = jax.lax, jax.numpy
    length, kernel = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 5))
    stride, dilation = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 2))
    word = data.draw(st.sampled_from(["SAME", "SAME_LOWER", "VALID"]))
    geometry = Geometry.of({"stride": stride, "dilation": dilation, "padding": word}, (kernel,))
    if word == "VALID" and length < dilation * (kernel - 1) + 1:
        return
    x = jnp.arange(1.0, length + 1).reshape(1, length, 1)
    numbers = ("NWC", "WIO", "NWC")
    for tap in range(kernel):
        weight = jnp.zeros((kernel, 1, 1)).at[tap].set(1.0)
        right = lax.conv_general_dilated(
            x, weight, (stride,), word, rhs_dilation=(dilation,), dimension_numbers=numbers
        )[0, :, 0]
        assert geometry.output((length,)) == right.shape
        found = [geometry.taps(0, length, place)[tap] for place in range(len(right))]
        assert [0.0 if index == NOTHING else index + 1.0 for index in found] == right.tolist()


@settings(max_examples=60)
@given(st.data())
def test_a_transposed_kernel_of_jax_may_run_either_way(data):
    jax = pytest.importorskip("jax")
    lax, jnp = jax.lax, jax.numpy
    length, kernel = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 5))
    stride, dilation = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 2))
    word, mirrored = data.draw(st.sampled_from(["SAME", "VALID"])), data.draw(st.booleans())
    config = {"stride": stride, "dilation": dilation, "padding": word, "transposed": True, "mirrored": mirrored}
    geometry = Geometry.of(config, (kernel,))
    x = jnp.arange(1.0, length + 1).reshape(1, length, 1)
    for tap in range(kernel):
        weight = jnp.zeros((kernel, 1, 1)).at[tap].set(1.0)
        right = lax.conv_transpose(
            x,
            weight,
            (stride,),
            word,
            rhs_dilation=(dilation,),
            dimension_numbers=("NWC", "WIO", "NWC"),
            transpose_kernel=not mirrored,
        )[0, :, 0]
        assert geometry.output((length,)) == right.shape
        found = [geometry.taps(0, length, place)[tap] for place in range(len(right))]
        assert [0.0 if index == NOTHING else index + 1.0 for index in found] == right.tolist()
