"""The small architectures: that they are all named, build, run, and say why where they do not."""

from __future__ import annotations

import pytest
import torch

transformers = pytest.importorskip("transformers")
architectures = pytest.importorskip("benchmarks.architectures")


def test_every_type_is_named() -> None:
    names = architectures.names()
    assert list(names) == sorted(transformers.CONFIG_MAPPING)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("model_type", ["gpt2", "jamba", "deepseek_v3", "swin", "wav2vec2", "clip", "qwen2_vl", "t5"])
def test_families_build_and_run(model_type: str) -> None:
    built = architectures.build(model_type)
    with torch.no_grad():
        output = built.model(**built.inputs)[0]
    assert not built.model.training
    assert torch.isfinite(output).all()
    assert sum(parameter.numel() for parameter in built.model.parameters()) < 3_000_000
    assert all(parameter.count_nonzero() for parameter in built.model.parameters())


def test_a_type_that_is_not_built_says_why() -> None:
    with pytest.raises(architectures.NotBuilt, match="timm"):
        architectures.build("timm_backbone")
    with pytest.raises(architectures.NotBuilt, match="a part of sam"):
        architectures.build("sam_mask_decoder")


def test_the_seed_decides_the_weights() -> None:
    first, again, other = (architectures.build("mixtral", seed).model.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_an_unknown_type_is_a_clear_error() -> None:
    with pytest.raises(KeyError, match="no model type is called 'nothing'"):
        architectures.build("nothing")
