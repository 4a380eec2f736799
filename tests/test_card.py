"""Cards in a notebook: static, escaped, small however large the network, and never fatal."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

import patchclamp
from patchclamp import card, pages
from patchclamp.arrays import Array
from patchclamp.model import Model
from patchclamp.parts.data import to_json
from patchclamp.parts.text import text
from patchclamp.read import address_text, fan_in, held

SMALL = 700_000
"""Bytes of HTML that a cell may hold."""


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: object) -> None:
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(html: str) -> Tags:
    """The tags of a fragment; every one is closed, and nothing in it runs or loads."""
    tags = Tags()
    tags.feed(html)
    assert not tags.open
    assert not {"script", "style", "link", "img", "iframe", "object"} & set(tags.tags)
    assert not re.search(r"(src|href|on\w+)\s*=", html)
    return tags


def test_a_conv_filter_is_an_image():
    torch.manual_seed(0)
    net = patchclamp.open(nn.Sequential(nn.Conv2d(3, 6, 5)))
    html = net["0[3]"]._repr_html_()
    tags = read(html)
    assert tags.tags.count("svg") == 3
    assert tags.tags.count("rect") == 75
    assert "0[3]" in html and "Conv2d (stated)" in html


NETS = {
    "wide linear": (lambda: nn.Sequential(nn.Linear(100_000, 3)), "0[1]"),
    "many neurons": (lambda: nn.Sequential(nn.Linear(3, 50_000)), "0"),
    "a selection of many": (lambda: nn.Sequential(nn.Linear(3, 50_000)), "0[:]"),
    "wide neurons": (lambda: nn.Sequential(nn.Linear(100_000, 40)), "0[:]"),
    "an LSTM unit": (lambda: nn.Sequential(nn.LSTM(512, 512)), "0[7]"),
    "a wide LSTM unit": (lambda: nn.Sequential(nn.LSTM(4096, 8)), "0[7]"),
    "an embedding": (lambda: nn.Sequential(nn.Embedding(50_000, 4)), "0[2]"),
    "embedding columns": (lambda: nn.Sequential(nn.Embedding(50_000, 40)), "0[:]"),
    "a deep filter": (lambda: nn.Sequential(nn.Conv2d(2048, 2, 7)), "0[1]"),
    "a filter in three dimensions": (lambda: nn.Sequential(nn.Conv3d(64, 2, 9)), "0[1]"),
    "a large kernel": (lambda: nn.Sequential(nn.Conv2d(40, 2, 64)), "0[1]"),
    "a bilinear neuron": (lambda: nn.Sequential(nn.Bilinear(300, 300, 2)), "0[1]"),
    "many layers": (lambda: nn.Sequential(*(nn.PReLU() for _ in range(3000))), ""),
}


@pytest.mark.parametrize("name", NETS)
def test_large_things_stay_small(name):
    make, address = NETS[name]
    net = patchclamp.open(make())
    thing = net[address] if address else net
    html = thing._repr_html_()
    read(html)
    assert 200 < len(html) < SMALL
    if address:
        assert len(repr(thing)) < 60_000


def test_what_is_left_out_is_said():
    net = patchclamp.open(nn.Sequential(nn.Linear(100_000, 3), nn.Conv2d(64, 2, 3), nn.Linear(3, 50)))
    assert "100,000 numbers from" in repr(net["0[1]"])
    assert "first 32 of 64" in repr(net["1[1]"])
    assert "the first 32 are shown" in repr(net["2[:]"])


def test_a_card_of_many_neurons_reads_few_of_them():
    class Counted:
        reads = 0

        def __init__(self, inner):
            self.inner = inner

        def read(self, key=()):
            Counted.reads += 1
            return self.inner.read(key)

    net = patchclamp.open(nn.Sequential(nn.Linear(10_000, 500)))
    for array in net.model.layers["0"].arrays:
        object.__setattr__(array, "storage", Counted(array.storage))
    assert text(card.neurons_card(net.model, net["0[:]"].neurons))
    assert Counted.reads <= 2 * 32


ODD = ["head[q]", "x[/]", "layer[bold]", "<script>alert(1)</script>", '"quoted" & <b>', "\x1b[31mred", "a\u202eb"]


@pytest.mark.parametrize("name", ODD)
def test_names_are_escaped_and_whole(name):
    net = patchclamp.open(nn.ModuleDict({name: nn.Linear(3, 2)}))
    for thing in (net, net[net.model.addresses.text(patchclamp.address.Address(name))]):
        html = thing._repr_html_()
        read(html)
        assert "<script>" not in html and "\x1b" not in html and "\u202e" not in html
        assert name.split("<")[0].split("\x1b")[0].split("\u202e")[0].replace('"', "&quot;")[:6] in html


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.complex64])
def test_every_element_type_is_shown(dtype):
    net = patchclamp.open(nn.Sequential(nn.Linear(20, 2, dtype=dtype), nn.Conv2d(1, 2, 3, dtype=dtype)))
    for address in ("0[1]", "1[1]", "0[:]", "1[:]", "0", "1"):
        assert "cannot be shown" not in repr(net[address])
        read(net[address]._repr_html_())


def test_numbers_that_are_not_finite_are_shown():
    layer = nn.Linear(20, 1)
    with torch.no_grad():
        layer.weight[0, :3] = torch.tensor([float("nan"), float("inf"), -float("inf")])
    assert "1 x nan, 1 x inf, 1 x -inf" in repr(patchclamp.open(nn.Sequential(layer))["0[0]"])


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_layers_without_neurons_and_of_length_zero_are_shown():
    net = patchclamp.open(nn.Sequential(nn.ReLU(), nn.Linear(3, 0), nn.Linear(0, 2), nn.Flatten()))
    for thing in (net, net["0"], net["1"], net["1[:]"], net["2"], net["2[1]"], net["3"]):
        read(thing._repr_html_())
        assert "cannot be shown" not in repr(thing)


def test_a_picture_that_fails_falls_back_to_text(monkeypatch):
    net = patchclamp.open(nn.Sequential(nn.Linear(3, 2)))
    neuron = net["0[1]"]

    def fails(*_):
        raise RuntimeError("no picture")

    monkeypatch.setattr("patchclamp.parts.html.html", fails)
    assert neuron._repr_html_() is None
    assert "0[1]" in repr(neuron)


def test_an_array_that_cannot_be_read_is_named_and_the_rest_is_shown():
    net = patchclamp.open(nn.Sequential(nn.Linear(3, 2)))
    neuron = net["0[1]"]
    net.model.layers["0"].arrays[0].storage.module.weight = nn.Parameter(torch.zeros(5, 5))
    assert "cannot be shown: 0.weight has shape (5, 5)" in repr(neuron)
    assert "bias" in repr(neuron)


@pytest.mark.parametrize("form", ["count", "accounting", "check", "record"])
def test_results_have_pages(form):
    net = patchclamp.open(nn.Sequential(nn.Linear(3, 2), nn.LSTM(2, 2)))
    x = torch.ones(4, 3)
    page = {
        "count": lambda: pages.count_page(net.count(input=(3,))),
        "accounting": lambda: pages.accounting_page(net.accounting()),
        "check": lambda: pages.check_page(net["0[1]"].verify(x)),
        "record": lambda: pages.record_page(net["1[1]"].record(x)),
    }[form]()
    from patchclamp.parts.html import html

    read(html(page))
    assert {"count": "5", "accounting": "every parameter", "check": "holds", "record": "forget"}[form] in text(page)


def test_where_a_neurons_arrays_lie():
    net = patchclamp.open(nn.Sequential(nn.Conv2d(4, 6, 3, groups=2)))
    neurons = net["0[4]"].neurons
    parts = {part.word: part for part in held(neurons, 4)}
    assert parts["weight"].shape == (2, 3, 3) and parts["weight"].axes == ("in", "k0", "k1")
    assert torch.equal(parts["weight"].read(), net["0[4]"].weight)
    assert torch.equal(parts["weight"].first(1), net["0[4]"].weight[:1])
    assert parts["bias"].shape == () and parts["bias"].size == 1
    assert fan_in(neurons.population, 4, {}) == 18


@pytest.mark.parametrize("address", ["0[4]", "0[*]", "0[1:3]", "0[0,2]", "0[4]@1,2", "0[1:3]@1,2"])
def test_an_address_is_printed_as_it_is_read(address):
    net = patchclamp.open(nn.Sequential(nn.Conv2d(4, 6, 3)))
    assert address_text(net.model, net[address].neurons) == address


def test_notes_of_a_network_stand_below_its_table():
    notes = tuple(f"note {i} \x1b[2J" for i in range(14))
    model = Model("x", "ONNX", {}, notes=notes)
    lines = text(card.network_card(model)).splitlines()
    assert "note: note 0 \\x1b[2J" in lines and lines[-1] == "and 2 more notes"
    assert to_json(card.network_card(model)) == "[]", "the data stay a list of layers"


def _file(folder, shapes):
    path = folder / "odd.safetensors"
    save_file({name: np.ones(shape, np.float32) for name, shape in shapes.items()}, path)
    return patchclamp.open(path)


def test_a_listing_names_few_arrays_of_an_unknown_layer_and_shortens_long_names(tmp_path):
    long = "a/very;" * 60
    net = _file(tmp_path, {f"odd.{long}": (2, 2), **{f"odd.x{i}": (2, 2) for i in range(5)}, "few.x": (2,)})
    shown = repr(net)
    assert max(map(len, shown.splitlines())) < 200
    assert "; 3 more arrays" in shown and "few.x" not in shown and "x (2,)" in shown
    assert "a/very;a/very;a/..." in shown
    assert long in net["odd"].explain()


def test_a_listing_has_the_type_of_packed_numbers_and_no_name_for_one():
    def of(note):
        storage = type("Held", (), {"note": note})()
        return card._packed(Array("weight", "a.weight", (2, 2), "float32", storage))

    assert of("stored as Q4_1, decoded; its rows lie in another order") == " (Q4_1)"
    assert of("stored as qint8 with 5 scales") == " (qint8)"
    assert of("named 'enc_w_ih' in the file") == of("") == ""


def test_the_network_itself_has_a_heading(tmp_path):
    net = _file(tmp_path, {"scale": (1, 2, 3)})
    assert repr(net[""]).startswith("the network\n===========\n")
