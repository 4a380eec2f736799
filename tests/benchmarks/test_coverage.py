"""The measured number: how many architectures are accounted for in every parameter, and right in every neuron asked."""

from __future__ import annotations

import pytest

pytest.importorskip("transformers")

from benchmarks import coverage
from benchmarks.coverage import Covered, measure

# One or more of every way to lay out attention, experts, norms, mixers and convolutions that the catalogue has.
SAMPLE = (
    "albert bart bert bloom clip codegen convnext deberta-v2 "
    "deepseek_v3 detr dinov2 electra falcon funnel gemma2 gpt2 "
    "gpt_bigcode gpt_neox gpt_oss gptj granitemoe jamba levit llama "
    "llama4_text mamba2 mistral mixtral mobilenet_v2 mpt olmo2 phi3 "
    "qwen2_vl qwen3_moe qwen3_next regnet rwkv swin t5 vits "
    "wav2vec2 whisper xlnet "
)


@pytest.mark.parametrize("model_type", SAMPLE.split())
def test_a_type_is_accounted_for_and_right(model_type: str) -> None:
    found = measure(model_type)
    assert (found.state, found.reason) == ("measured", "")
    assert found.unknown == []
    assert found.wrong == []
    assert not found.left
    assert found.good


def test_the_sample_is_wide() -> None:
    names = SAMPLE.split()
    assert len(set(names)) == len(names) >= 40


@pytest.mark.slow
def test_nearly_every_type_is_whole_and_none_is_wrong() -> None:
    found = {result.model_type: result for result in coverage.measured(None, 2)}
    measured = [result for result in found.values() if result.state == "measured"]
    assert len(found) >= 800 and len(measured) >= 740
    assert [(result.model_type, result.wrong) for result in measured if result.wrong] == []
    assert [result.model_type for result in measured if result.left] == []
    assert sum(result.good for result in measured) >= 0.95 * len(measured)


def test_what_is_wrong_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network whose weights change after it was recorded: what was recorded is then not what they give."""
    real = coverage.verify

    def after_a_change(model: object, neurons: object, calls: object) -> object:
        placed = neurons.population.placed[0]  # type: ignore[attr-defined]
        placed.array.read().mul_(1.5)
        return real(model, neurons, calls)  # type: ignore[arg-type]

    monkeypatch.setattr(coverage, "verify", after_a_change)
    found = measure("bert")
    assert len(found.wrong) > 10
    assert found.left
    assert not found.good


def test_a_type_that_cannot_be_built_says_why() -> None:
    found = measure("timm_backbone")
    assert (found.state, found.good) == ("not built", False)
    assert "timm" in found.reason
    with pytest.raises(KeyError):
        coverage.build("no_such_type")


def test_the_table_counts_what_is_whole() -> None:
    good = Covered("one", parameters=8, accounted=8, neurons=3, cls="One", layers={"stated": 2})
    part = Covered("two", parameters=8, accounted=6, neurons=3, cls="Two", layers={"stated": 1, "unknown": 1})
    wrong = Covered("three", parameters=8, accounted=8, neurons=2, wrong=["a[1]: 3 times the tolerance"], cls="Three")
    none = Covered("four", "not built", "needs timm")
    text = coverage.table([good, part, wrong, none])
    assert "model types: 4; built and run: 3; not built: 1; failed: 0" in text
    assert "every parameter accounted for: 2 of 3 (66.7%)" in text
    assert "every recomputed neuron right: 1 of 3 (33.3%)" in text
    assert "with a wrong answer: 1" in text
    assert "| two | Two | 8 | 75.0% | 1 | 1 | 3 |" in text
    assert "| four | not built: needs timm |" in text
