"""Trained networks lose 30 % of their least active neurons; what is left runs in plain torch, smaller, and as masked.

The data are the 1,797 handwritten digits of scikit-learn. How fast each is with what accuracy is printed: pytest -s.
"""

from __future__ import annotations

import copy
import io
import time

import pytest

import patchclamp as pc

torch = pytest.importorskip("torch")
datasets = pytest.importorskip("sklearn.datasets")
from torch import nn  # noqa: E402

pytestmark = pytest.mark.slow
SIDE, TAUGHT = 8, 1400


class Convolutions(nn.Module):
    """As anyone would write it: the widths are arguments, so the smaller one is the same class."""

    def __init__(self, first=40, second=80, hidden=160):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, first, 3, padding=1), nn.Conv2d(first, second, 3, padding=1)
        self.bn = nn.BatchNorm2d(second)
        self.fc1, self.fc2 = nn.Linear(second * 4, hidden), nn.Linear(hidden, 10)

    def forward(self, x):
        x = torch.max_pool2d(self.conv1(x[:, None]).relu(), 2)
        x = torch.max_pool2d(self.bn(self.conv2(x)).relu(), 2)
        return self.fc2(self.fc1(x.flatten(1)).relu())


class Steps(nn.Module):
    def __init__(self, units=64):
        super().__init__()
        self.lstm, self.fc = nn.LSTM(SIDE, units, batch_first=True), nn.Linear(units, 10)

    def forward(self, x):
        return self.fc(self.lstm(x)[0][:, -1])


def digits():
    found = datasets.load_digits()
    order = torch.randperm(len(found.target), generator=torch.Generator().manual_seed(0))
    return torch.tensor(found.images, dtype=torch.float32)[order] / 16, torch.tensor(found.target)[order]


def trained(model, images, labels, epochs, lr, optimizer=None):
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    for epoch in range(epochs):
        order = torch.randperm(TAUGHT, generator=torch.Generator().manual_seed(epoch))
        for rows in order.split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[rows]), labels[rows]).backward()
            optimizer.step()
    model.eval()
    return optimizer


def accuracy(model, images, labels):
    with torch.no_grad():
        return float((model(images[TAUGHT:]).argmax(1) == labels[TAUGHT:]).float().mean())


def least_active(net, x, layers):
    """30 % of the neurons of each layer: those with the smallest mean of what is heard of them (layer: where)."""
    found = []
    for name, heard in layers.items():
        output = net[heard].record(x, keep=["output"]).output
        output = output[0] if isinstance(output, tuple) else output
        axis = 1 if output.dim() == 4 else output.dim() - 1
        active = output.abs() if name == "lstm" else output.relu()
        score = active.movedim(axis, 0).flatten(1).mean(1)
        least = score.argsort()[: int(0.3 * len(score))]
        found.append(f"{name}[{','.join(map(str, sorted(least.tolist())))}]")
    return found


def masked(model, consumers):
    silent = copy.deepcopy(model)
    for name, columns in consumers:
        with torch.no_grad():
            getattr(silent.get_submodule(name[0]), name[1])[:, columns] = 0
    return silent


def numbers(address):
    return [int(one) for one in address[address.index("[") + 1 : -1].split(",")]


def reloaded(model, smaller):
    """Through a file and into a class of plain torch."""
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    smaller.load_state_dict(torch.load(file, weights_only=True))
    return smaller.eval(), file.getbuffer().nbytes


def faster(model, whole, x):
    """How many times as fast: the shortest of many forwards, taken in turn."""
    best = [float("inf"), float("inf")]
    with torch.no_grad():
        for _ in range(30):
            for place, one in enumerate((whole, model)):
                start = time.perf_counter()
                one(x)
                best[place] = min(best[place], time.perf_counter() - start)
    return best[0] / best[1]


def test_a_cnn():
    torch.manual_seed(0)
    images, labels = digits()
    model = Convolutions()
    optimizer = trained(model, images, labels, 8, 2e-3)
    before, size = accuracy(model, images, labels), reloaded(model, Convolutions())[1]
    net, x = pc.open(model), images[:256]
    asked = least_active(net, x, {"conv1": "conv1", "conv2": "bn", "fc1": "fc1"})
    first, second, hidden = map(numbers, asked)
    wide = [four for channel in second for four in range(4 * channel, 4 * channel + 4)]
    silent = masked(model, [(("conv2", "weight"), first), (("fc1", "weight"), wide), (("fc2", "weight"), hidden)])
    saved = net.remove(asked, x, optimizer)
    small, bytes_after = reloaded(model, Convolutions(28, 56, 112))
    with torch.no_grad():
        torch.testing.assert_close(small(images[TAUGHT:]), silent(images[TAUGHT:]), rtol=1e-4, atol=1e-4)
    after = accuracy(small, images, labels)
    times = faster(small, silent, images[:200])
    trained(model, images, labels, 2, 0, optimizer)
    again = accuracy(model, images, labels)
    print(
        f"cnn: {saved.parameters}, {size} to {bytes_after} bytes, {times:.2f} x, {before:.3f} {after:.3f} {again:.3f}"
    )
    assert before > 0.85 and after == accuracy(silent, images, labels) and again > before - 0.06
    assert saved.parameters[1] < 0.55 * saved.parameters[0] and bytes_after < 0.6 * size
    assert min(saved.seconds) > 0


def test_an_lstm():
    torch.manual_seed(0)
    images, labels = digits()
    model = Steps()
    optimizer = trained(model, images, labels, 25, 5e-3)
    before, size = accuracy(model, images, labels), reloaded(model, Steps())[1]
    net, x = pc.open(model), images[:256]
    asked = least_active(net, x, {"lstm": "lstm"})
    units = numbers(asked[0])
    silent = masked(model, [(("fc", "weight"), units), (("lstm", "weight_hh_l0"), units)])
    saved = net.remove(asked, x, optimizer)
    small, bytes_after = reloaded(model, Steps(45))
    with torch.no_grad():
        torch.testing.assert_close(small(images[TAUGHT:]), silent(images[TAUGHT:]), rtol=1e-4, atol=1e-4)
    after = accuracy(small, images, labels)
    times = faster(small, silent, images[:200])
    trained(model, images, labels, 2, 0, optimizer)
    again = accuracy(model, images, labels)
    print(
        f"lstm: {saved.parameters}, {size} to {bytes_after} bytes, {times:.2f} x, {before:.3f} {after:.3f} {again:.3f}"
    )
    assert before > 0.85 and after == accuracy(silent, images, labels) and again > before - 0.06
    assert saved.parameters[1] < 0.65 * saved.parameters[0] and bytes_after < size
    assert min(saved.seconds) > 0
