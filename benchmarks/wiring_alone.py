"""One act on one network in a process of its own: `python -m benchmarks.wiring_alone ACT NAME` prints a line of JSON.

    fake NAME      the wiring of a model without weights (gpt2, llama8b), 2 tokens
    wiring NAME    the wiring of a network in full size, at its smallest input
    forward NAME   one forward of the same

Memory is the most that was resident, as Linux counts it, above what the imports and the loaded weights took.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tests.support.wiring_zoo import published
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

import patchclamp as pc
from patchclamp.wiring import Wiring

__all__ = ["main"]

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
LLAMA_8B: dict[str, Any] = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
}
SHAPES: dict[str, Callable[[], torch.nn.Module]] = {
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config()),
    "llama8b": lambda: LlamaForCausalLM(LlamaConfig(**LLAMA_8B)),
}


def main(act: str, name: str) -> dict[str, float]:
    torch.set_num_threads(1)
    return ACTS[act](name)


def fake(name: str) -> dict[str, float]:
    before = _now()
    with torch.device("meta"):
        model = SHAPES[name]().eval()
    tokens = {"input_ids": torch.tensor([[5, 7]])}
    begun = time.perf_counter()
    wiring = pc.open(model).wiring(tokens, numbers=False)
    assert not wiring.notes
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "bytes": _highest() - before, "edges": len(wiring)}


def wiring(name: str) -> dict[str, float]:
    model, x = _loaded(name)
    before = _now()
    begun = time.perf_counter()
    found = Wiring.of(pc.open(model).model, x)
    return {"seconds": time.perf_counter() - begun, "bytes": _highest() - before, "edges": len(found)}


def forward(name: str) -> dict[str, float]:
    model, x = _loaded(name)
    before = _now()
    begun = time.perf_counter()
    with torch.inference_mode():
        model(**x) if isinstance(x, dict) else model(x)
    return {"seconds": time.perf_counter() - begun, "bytes": _highest() - before}


ACTS = {"fake": fake, "wiring": wiring, "forward": forward}


def _loaded(name: str) -> tuple[torch.nn.Module, Any]:
    network = published()[name]
    model, x = network.build(network.smallest)
    return model.float(), x if isinstance(x, dict) else x.float()


def _now() -> int:
    """What is resident; what is counted as the highest starts anew from here."""
    RESET.write_text("5")
    return _status("VmRSS")


def _highest() -> int:
    return _status("VmHWM")


def _status(word: str) -> int:
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith(f"{word}:")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
