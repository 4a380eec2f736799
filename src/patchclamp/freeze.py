"""Hold neurons still while the rest of the network trains."""

from __future__ import annotations

from typing import Any

from .edit import owned, regions, trained
from .errors import EditError
from .model import Model, Neurons

__all__ = ["freeze"]


def freeze(model: Model, neurons: Neurons, what: str) -> Any:
    """Freeze the weights and biases of neurons; returns the adapter's handle, with `release()`.

    Raises EditError, before anything is touched, where the weights cannot be held (see `edit`).
    """
    words = trained(neurons, owned(neurons, what))
    found = [(region.array, region.key) for region in regions(neurons, words)]
    if not found:
        raise EditError(f"{what} has no weights to freeze")
    ledger = model.ledger()
    for array, key in found:
        ledger.check(array, key, "freeze", None, f"freeze of {what}")
    return model.keeper.freeze(found)
