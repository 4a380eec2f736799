"""Modules that hold arrays but have no neurons: lists of parameters, losses with a weight for each class, pooling."""

from __future__ import annotations

from .row import Kind

_CLASSES = {"weight": "weight of each class in the loss", "pos_weight": "weight of the positive examples in the loss"}

ROWS = (
    Kind("torch.nn.ParameterList", "", {}),
    Kind("torch.nn.ParameterDict", "", {}),
    Kind("torch.nn._WeightedLoss", "", {}, apart=_CLASSES),
    *(
        Kind(f"torch.nn.FractionalMaxPool{rank}d", "", {}, apart={"_random_samples": "where to pool"})
        for rank in (2, 3)
    ),
    Kind("torch.nn.BCEWithLogitsLoss", "", {}, apart=_CLASSES),
)
