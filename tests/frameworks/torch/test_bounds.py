"""What a config.json may not ask for."""

from __future__ import annotations

from typing import Any

import pytest

from patchclamp.frameworks.torch.bounds import NotBuilt, checked


@pytest.mark.parametrize("inside", [lambda held: held, lambda held: {"vision_config": {"model_args": held}}])
def test_what_would_load_a_file_is_dropped(inside: Any) -> None:
    # timm.create_model(checkpoint_path=...) loads a pickle, with pretrained_cfg the file or the address in it
    given = {"checkpoint_path": "evil.pth", "pretrained": True, "pretrained_cfg": {"file": "evil.pth"}, "depth": 2}
    assert checked(inside(given), ()) == inside({"depth": 2})


@pytest.mark.parametrize("name", ["local-dir:/elsewhere", "hf-hub:some/one", "hf_hub:some/one"])
def test_an_architecture_that_lies_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(NotBuilt, match="lies elsewhere"):
        checked({"model_type": "timm_wrapper", "architecture": name}, ())
    assert checked({"architecture": "resnet18"}, ()) == {"architecture": "resnet18"}
