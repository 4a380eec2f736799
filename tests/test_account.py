"""Every parameter accounted for exactly once. The witness is torch's own count."""

import pytest
import torch

import patchclamp as pc


class Extra(torch.nn.Linear):
    def __init__(self):
        super().__init__(3, 2)
        self.temperature = torch.nn.Parameter(torch.ones(1))


class Own(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.zeros(3, 5))


def every_kind():
    nn = torch.nn
    return nn.Sequential(
        nn.Linear(3, 4), nn.Bilinear(2, 3, 4), nn.Conv1d(2, 4, 3), nn.Conv2d(2, 4, 3, groups=2), nn.Conv3d(2, 4, 3),
        nn.ConvTranspose1d(2, 4, 3), nn.ConvTranspose2d(2, 4, 3, groups=2), nn.ConvTranspose3d(2, 4, 3),
        nn.Embedding(5, 4), nn.EmbeddingBag(5, 4), nn.BatchNorm1d(3), nn.BatchNorm2d(3), nn.BatchNorm3d(3),
        nn.InstanceNorm2d(3, affine=True), nn.GroupNorm(2, 4), nn.LayerNorm((2, 3)), nn.RMSNorm(4), nn.PReLU(3),
        nn.RNN(3, 4), nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2), nn.GRU(3, 4, bias=False),
        nn.RNNCell(3, 4), nn.LSTMCell(3, 4), nn.GRUCell(3, 4), nn.SyncBatchNorm(3),
    )  # fmt: skip


def test_all_catalogued_kinds_are_complete():
    model = every_kind()
    accounting = pc.open(model).accounting()
    assert accounting.complete
    assert accounting.total() == sum(p.numel() for p in model.parameters()) == accounting.total("neuron")
    paths = [entry.path for entry in accounting.entries]
    assert sorted(paths) == sorted(model.state_dict())
    assert len(paths) == len(set(paths))


def test_tied_arrays_are_counted_once_and_named():
    model = torch.nn.ModuleDict({"table": torch.nn.Embedding(10, 4), "head": torch.nn.Linear(4, 10, bias=False)})
    model["head"].weight = model["table"].weight
    accounting = pc.open(model).accounting()
    assert [(entry.path, entry.of) for entry in accounting.tied] == [("head.weight", "table.weight")]
    assert accounting.total() == 40
    assert accounting.complete


def test_a_module_under_two_names_is_counted_once():
    shared = torch.nn.Linear(3, 3)
    model = torch.nn.ModuleDict({"a": shared, "b": shared})
    accounting = pc.open(model).accounting()
    assert accounting.total() == 12
    assert [entry.path for entry in accounting.tied] == ["b.weight", "b.bias"]


@pytest.mark.parametrize(("module", "path", "size"), [(Own(), "x.gain", 15), (Extra(), "x.temperature", 1)])
def test_what_no_kind_describes_is_unknown_and_never_hidden(module, path, size):
    model = torch.nn.ModuleDict({"x": module})
    accounting = pc.open(model).accounting()
    assert [(entry.path, entry.size) for entry in accounting.unknown] == [(path, size)]
    assert not accounting.complete
    assert accounting.total() == sum(p.numel() for p in model.parameters())


def test_buffers_are_named_too():
    accounting = pc.open(torch.nn.BatchNorm2d(3)).accounting()
    assert {(e.path, e.status) for e in accounting.entries if e.role == "buffer"} == {
        ("running_mean", "neuron"),
        ("running_var", "neuron"),
        ("num_batches_tracked", "apart"),
    }
