"""Normalisations: a statistic, then one scale and one shift for each channel or feature."""

from __future__ import annotations

from .row import Kind

_RUNNING = {"running_mean": "neuron", "running_var": "neuron"}
_CHANNELS = "batch neuron *at"


def _running(name: str, family: str, rank: int = 0) -> Kind:
    return Kind(
        name,
        family,
        {"weight": "neuron", "bias": "neuron", **_RUNNING},
        input=_CHANNELS,
        output=_CHANNELS,
        sizes={"neuron": "num_features"},
        config={"eps": "eps", "track": "track_running_stats"},
        apart={"num_batches_tracked": "a count of the batches seen"},
        noun="channel",
        role="norm",
        rank=rank,
    )


def _features(name: str, arrays: dict[str, str], family: str) -> Kind:
    return Kind(
        name,
        family,
        arrays,
        input="*at *neuron",
        output="*at *neuron",
        neuron=("*neuron",),
        sizes={"neuron": "normalized_shape"},
        config={"eps": "eps"},
        noun="feature",
        role="norm",
    )


ROWS = (
    *(_running(f"torch.nn.BatchNorm{rank}d", "batch_norm") for rank in (1, 2, 3)),
    _running("torch.nn.SyncBatchNorm", "batch_norm"),
    *(_running(f"torch.nn.InstanceNorm{rank}d", "instance_norm", rank) for rank in (1, 2, 3)),
    Kind(
        "torch.nn.GroupNorm",
        "group_norm",
        {"weight": "(group neuron)", "bias": "(group neuron)"},
        input="batch (group neuron) *at",
        output="batch (group neuron) *at",
        neuron=("group", "neuron"),
        sizes={"group": "num_groups", "(group neuron)": "num_channels"},
        config={"eps": "eps"},
        noun="channel",
        role="norm",
    ),
    _features("torch.nn.LayerNorm", {"weight": "*neuron", "bias": "*neuron"}, "layer_norm"),
    _features("torch.nn.RMSNorm", {"weight": "*neuron"}, "rms_norm"),
)
