"""The axis line as text: parsed once, printed back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchclamp.axes import Axis, Line, Product, Rest, Sum
from patchclamp.errors import AxisError

LINES = [
    "neuron in",
    "neuron",
    "",
    "(group neuron) in *k",
    "(gate{input forget cell output} neuron) in",
    "[q: head neuron | k: kv neuron | v: kv neuron] in",
    "(kv [q: rep neuron | k: neuron | v: neuron]) in",
    "*at neuron",
    "in (neuron half{gate up})",
]


@pytest.mark.parametrize("text", LINES)
def test_a_line_prints_as_it_was_read(text):
    assert str(Line.parse(text)) == text
    assert Line.parse(str(Line.parse(text))) == Line.parse(text)


NAMES = st.text("abcdefgh_", min_size=1, max_size=4)


def terms(names):
    """Terms over the given names, each used once."""
    if not names:
        return st.just(())
    head, rest = names[0], names[1:]
    if len(names) == 1:
        return st.sampled_from([(Axis(head),), (Axis(head, ("x", "y")),)])
    return st.one_of(
        terms(rest).map(lambda tail: (Axis(head), *tail)),
        terms(names[2:]).map(lambda tail: (Product((Axis(head, ("i", "o")), Axis(names[1]))), *tail)),
        terms(rest).map(lambda tail: (Sum((("q", Product((Axis(head),))), ("k", Product((Axis(head),))))), *tail)),
        terms(rest).map(
            lambda tail: (Rest(head), *tail) if not any(isinstance(t, Rest) for t in tail) else (Axis(head), *tail)
        ),
    )


@given(st.lists(NAMES, min_size=1, max_size=5, unique=True).flatmap(terms))
def test_every_line_round_trips(parts):
    line = Line(tuple(parts))
    assert Line.parse(str(line)) == line


def test_names_are_in_order_of_appearance():
    assert Line.parse("(kv [q: rep neuron | k: neuron]) in").names == ("kv", "rep", "neuron", "in")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(a b", "expected ')', found the end"),
        ("a) b", "')' is out of place"),
        ("[q a]", "expected ':', found 'a'"),
        ("[q: a", "expected ']', found the end"),
        ("a a", "named twice"),
        ("(a a)", "named twice"),
        ("a (a b)", "named twice"),
        ("(a *k)", "a *rest cannot stand inside"),
        ("a-b", "cannot read '-b'"),
        ("3", "cannot read '3'"),
        ("{x y}", "out of place"),
    ],
)
def test_bad_lines_say_what_is_wrong_and_show_the_grammar(text, reason):
    with pytest.raises(AxisError) as caught:
        Line.parse(text)
    assert reason in caught.value.message
    assert text in caught.value.message
    assert caught.value.hint
