"""The demo runs from anywhere, ends by itself, and says what is known from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import files
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[1] / "examples" / "demo.py"


def run(folder: Path, *arguments: str) -> str:
    """What the demo prints. Warnings are errors there too; a minute is what it may take."""
    command = [sys.executable, "-W", "error", "-X", "utf8", str(DEMO), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return run(tmp_path_factory.mktemp("elsewhere"))


def section(printed: str, number: int) -> str:
    return re.split(r"^──── ", printed, flags=re.MULTILINE)[number]


def chances(text: str) -> dict[str, float]:
    """Class name -> probability, as the lines `0.385  Egyptian cat (...)` give them."""
    return {name: float(chance) for chance, name in re.findall(r"^  (0\.\d{3})  (.+?) \(", text, re.MULTILINE)}


def test_it_sees_the_cat(printed):
    # The reference figures for this network on this photograph.
    expected = {"Egyptian cat": 0.385, "tiger cat": 0.332, "tabby": 0.163}
    assert chances(section(printed, 2)) == pytest.approx(expected, abs=0.005)


def test_it_lists_the_layers(printed):
    assert "99 layers, 4,652,008 parameters" in printed  # the published size of EfficientNet-Lite0
    assert re.search(r"_conv_stem +Conv2d +stated", printed)


def test_it_explains_one_neuron_of_each_sort(printed):
    assert "filter 3 of 32: 3 x 3 x 3 weights" in printed
    assert "filter 5 of 96: 1 x 3 x 3 weights, reading input channel 5" in printed
    assert "neuron 285 of 1000: 1280 weights and 1 bias" in printed


def test_the_sum_by_hand_is_what_the_network_computed(printed):
    by_hand, computed, difference = (
        float(re.search(rf"{words}.*?(-?\d\S+)$", section(printed, 5), re.MULTILINE).group(1))
        for words in ("in double precision", "in single precision", "  difference  ")
    )
    assert abs(by_hand - computed) == pytest.approx(difference, rel=0.05)
    assert difference < 27 * 2**-24 * 10  # 27 products, each far below 10, rounded to float32
    assert ": holds" in section(printed, 5)


def test_it_counts_under_both_conventions(printed):
    # 3 x 3 at stride 2, padded to keep half the size: 224 -> 112; the second block halves it again.
    assert re.search(rf"_conv_stem +32 +112 x 112 +{32 * 112 * 112:,} +27$", printed, re.MULTILINE)
    assert re.search(rf"_depthwise_conv +96 +56 x 56 +{96 * 56 * 56:,} +9$", printed, re.MULTILINE)
    assert re.search(r"_fc +1,000 +1 +1,000 +1,280$", printed, re.MULTILINE)


def test_the_zeroed_neuron_is_missed_and_comes_back(printed):
    text = section(printed, 7)
    before, zeroed, restored = re.findall(r"sha256 (\w{32})", text)
    assert before == restored != zeroed
    first, second, third = (chances(part) for part in text.split("sha256")[1:])
    assert first == third
    assert "Egyptian cat" not in second
    # With a logit of zero the others share what it had: .332 / (1 - .385)
    assert second["tiger cat"] == pytest.approx(first["tiger cat"] / (1 - first["Egyptian cat"]), abs=0.002)
    assert "identical" in text


@pytest.mark.slow
def test_another_picture(tmp_path):
    coffee = next(str(file.locate()) for file in files("scikit-image") or () if file.name == "coffee.png")
    assert chances(section(run(tmp_path, coffee), 2))["espresso"] == pytest.approx(0.94, abs=0.02)


def test_a_missing_picture_is_one_line(tmp_path):
    done = subprocess.run([sys.executable, str(DEMO), "none.jpg"], cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (1, "there is no picture none.jpg\n")


def test_the_readme_shows_what_is_printed(printed):
    readme = (DEMO.parents[1] / "README.md").read_text(encoding="utf-8")
    excerpt = re.search(r"^```text\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL).group(1)
    assert set(excerpt.splitlines()) <= set(printed.splitlines())
