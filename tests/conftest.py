"""What every test runs under: deterministic properties, one thread a worker, no notices."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

try:
    import torch
except ImportError:
    pass
else:
    # pytest-xdist runs one process a core; more threads only get in each other's way.
    torch.set_num_threads(1)

# Same examples every time, so that a red run means the change and not the dice. Slow machines are not a failure.
settings.register_profile(
    "steady", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
# HYPOTHESIS_PROFILE=explore make test: new examples each time, ten times as many.
settings.register_profile("explore", settings.get_profile("steady"), derandomize=False, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
