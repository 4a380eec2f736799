"""Addresses: parsed and printed by one object, whatever the layers are called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchclamp.address import ALL, Address, Addresses, Span, Step
from patchclamp.errors import AddressError

BOOK = Addresses(
    [
        "",
        "conv1",
        "conv2",
        "fc1",
        "0.1.conv",
        "lstm",
        "attn.head",
        "a b",
        "x[/]",
        "head[q]",
        "layer[bold]",
        "d.e f[0].g",
    ]
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("conv1", Address("conv1")),
        ("conv1[3]", Address("conv1", (Step("", (3,)),))),
        ("conv1:3", Address("conv1", (Step("", (3,)),))),
        ("conv1:3@4,5", Address("conv1", (Step("", (3,)),), (4, 5))),
        ("conv1[3]@4,5", Address("conv1", (Step("", (3,)),), (4, 5))),
        ("conv1[-1]@-1,0", Address("conv1", (Step("", (-1,)),), (-1, 0))),
        ("lstm.forget[7]", Address("lstm", (Step("forget", (7,)),))),
        ("lstm.forget:7", Address("lstm", (Step("forget", (7,)),))),
        ("lstm.l1.reverse.forget[7]", Address("lstm", (Step("l1"), Step("reverse"), Step("forget", (7,))))),
        ("lstm[7]@12", Address("lstm", (Step("", (7,)),), (12,))),
        ("attn.head[4].query[9]", Address("attn.head", (Step("", (4,)), Step("query", (9,))))),
        ("fc1[:50]", Address("fc1", (Step("", (Span(None, 50),)),))),
        ("fc1[10:20:2]", Address("fc1", (Step("", (Span(10, 20, 2),)),))),
        ("fc1[3,7]", Address("fc1", (Step("", (3, 7)),))),
        ("fc1[0:3, 7]", Address("fc1", (Step("", (Span(0, 3), 7)),))),
        ("fc1[*]", Address("fc1", (Step("", (ALL,)),))),
        ("0.1.conv[2]", Address("0.1.conv", (Step("", (2,)),))),
        ("a b[2]", Address("a b", (Step("", (2,)),))),
        ("x[/][2]", Address("x[/]", (Step("", (2,)),))),
        ("head[q]", Address("head[q]")),
        ("d.e f[0].g[1]", Address("d.e f[0].g", (Step("", (1,)),))),
        ('"layer[bold]"[1]', Address("layer[bold]", (Step("", (1,)),))),
        ("[3]", Address("", (Step("", (3,)),))),
        ("", Address("")),
        ('""[3]', Address("", (Step("", (3,)),))),
        (".forget[3]", Address("", (Step("forget", (3,)),))),
    ],
)
def test_what_an_address_means(text, address):
    assert BOOK.parse(text) == address
    assert BOOK.parse(BOOK.text(address)) == address


@pytest.mark.parametrize(
    ("text", "part", "hint"),
    [
        ("conv9[3]", "no layer for the address 'conv9[3]'", "did you mean conv"),
        ("convl", "no layer for the address 'convl'", "did you mean conv1?"),
        ("conv1[3", "cannot read '[3' after layer 'conv1'", "layer[3]"),
        ("conv1[]", "cannot read", ""),
        ("conv1[x]", "cannot read the index 'x'", "an index is"),
        ("conv1[1:2:0]", "cannot read the index '1:2:0'", "step of 1 or more"),
        ("conv1[3]@", "cannot read '@'", "@row,col"),
        ("conv1[3]@a,b", "cannot read '@a,b'", ""),
        ("conv1@4,5[3]", "cannot read '@4,5[3]'", ""),
        ("zz*[3]", "no layer for the address", ""),
    ],
)
def test_what_cannot_be_read(text, part, hint):
    with pytest.raises(AddressError) as caught:
        BOOK.parse(text)
    assert part in caught.value.message
    assert hint in caught.value.hint
    assert isinstance(caught.value, KeyError)


def test_a_layer_shadowing_a_gate_is_the_layer_and_quotes_reach_the_gate():
    book = Addresses(["lstm", "lstm.forget"])
    assert book.parse("lstm.forget[7]").layer == "lstm.forget"
    gate = Address("lstm", (Step("forget", (7,)),))
    assert book.text(gate) == '"lstm".forget[7]'
    assert book.parse('"lstm".forget[7]') == gate


def test_globs_match_layers_in_network_order():
    assert BOOK.match(BOOK.parse("conv*[*]")) == ("conv1", "conv2")
    assert BOOK.match(BOOK.parse("?c1[0]")) == ("fc1",)
    assert BOOK.is_glob(BOOK.parse("conv*"))
    book = Addresses(["a*", "ab"])
    assert book.match(book.parse("a*[0]")) == ("a*",)


INDEX = st.one_of(
    st.integers(-99, 99),
    st.builds(
        Span,
        st.none() | st.integers(-9, 9),
        st.none() | st.integers(-9, 9),
        st.none() | st.integers(1, 9),
    ),
)
INDICES = st.lists(INDEX, min_size=1, max_size=3).map(tuple)
LABEL = st.from_regex(r"[A-Za-z_]\w{0,5}", fullmatch=True)
STEPS = st.lists(
    st.one_of(st.builds(Step, LABEL, INDICES), st.builds(Step, LABEL), st.builds(Step, st.just(""), INDICES)),
    max_size=4,
).map(tuple)
HOSTILE = st.text(alphabet='ab.[]:@"\\*?, 0é\n', max_size=8)
NAMES = st.one_of(
    st.text(max_size=8), HOSTILE, st.just(""), st.sampled_from(["a", "a.b", 'a"', '"a"', "a[0]", "a.b[0]"])
)


def _merge(steps):
    """`.name` followed by `[i]` reads as `.name[i]`: the same steps, spelled once."""
    merged = []
    for step in steps:
        if merged and not step.name and not merged[-1].index:
            merged[-1] = Step(merged[-1].name, step.index)
        else:
            merged.append(step)
    return tuple(merged)


@given(st.sets(NAMES, min_size=1, max_size=6), STEPS, st.lists(st.integers(-9, 99), max_size=3).map(tuple), st.data())
def test_every_address_round_trips_whatever_the_layers_are_called(layers, steps, position, data):
    book = Addresses(sorted(layers))
    address = Address(data.draw(st.sampled_from(book.layers)), _merge(steps), position)
    assert book.parse(book.text(address)) == address


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_a_clear_error(text):
    try:
        address = BOOK.parse(text)
    except AddressError as error:
        assert error.message
    else:
        assert BOOK.is_glob(address) or address.layer in BOOK.layers


def test_numbered_layers_may_be_written_as_in_python():
    names = ["", "layers", "layers.0", "layers.0.mlp", "layers.1", "layers.1.experts", "layers.1.experts.2", "experts"]
    book = Addresses([*names, "a[0].b"])
    assert book.parse("layers[0].mlp[3]") == book.parse("layers.0.mlp[3]")
    assert book.parse("layers[1].experts[2][5]") == book.parse("layers.1.experts.2[5]")
    assert book.text(book.parse("layers[0].mlp[3]")) == "layers.0.mlp[3]"
    assert book.parse("experts[2][5]").layer == "experts"
    assert book.parse("a[0].b[1]").layer == "a[0].b"
    assert book.parse("layers[0]") == Address("layers.0")
    assert book.parse("experts[0]").steps == (Step(index=(0,)),)
