"""A wiring as a Parquet file: written whole or not at all, read back for the network that it is of."""

from __future__ import annotations

import os
import zlib
from typing import Any

from .errors import FileError, RunError
from .files._atomic import put, replacing
from .model import Model
from .wiring import Wiring
from .wiring.arrow import KEY, from_arrow, pyarrow, to_arrow

__all__ = ["NetworkWiring", "wired"]

KEPT = "wiring"
"""Under what name a model keeps it."""
DAMAGED = ValueError, ArithmeticError, LookupError, TypeError, AttributeError, zlib.error
"""What reading a damaged table raises."""


def wired(model: Model, x: Any = None) -> NetworkWiring:
    """The wiring on an input; without one that which the network keeps. Raises RunError where there is none."""
    if x is not None:
        return NetworkWiring.of(model, x)
    found: NetworkWiring | None = model.kept.get(KEPT)
    if found is None:
        what = f"the wiring of {model.source} is not known yet: a run shows it"
        traces = getattr(model.runner, "trace", None) is not None
        saved = "load one that was saved of the live network: net.wiring(load=...)"
        raise RunError(what, "give an input: net.wiring(x) traces and keeps it" if traces else saved)
    return found


class NetworkWiring(Wiring):
    """A wiring that can be made a table, saved and loaded: what `net.wiring(x)` gives."""

    def arrow(self, strength: bool = False) -> Any:
        """The connections as a pyarrow.Table. Raises OpenError where pyarrow is missing.

        source      address of the neuron that is heard; null in rows of mixtures
        consumer    address of the neurons that hear it; array: the path of their weights
        slot        which slot of the array; in rows of mixtures `slots`, a list
        tags        what lies on the path, joined by commas
        gain, low, high, count   as `Connection` has them, and on how many positions and examples they were seen
        strength    where it is asked for: the Euclidean norm of weight x gain over all neurons of the consumer
        direct      false in rows of mixtures, whose neurons are group number `group`

        `label`, `reader` and `path` are the numbers that loading needs. Loading reads the groups from the metadata.
        """
        return to_arrow(self.traced, strength)

    def save(self, path: str | os.PathLike[str], strength: bool = False) -> None:
        """Write the table as a Parquet file, atomically. Raises OpenError where pyarrow is missing, FileError where the
        file cannot be written; a file already there is then as it was."""
        sink = pyarrow().BufferOutputStream()
        pyarrow("parquet").write_table(self.arrow(strength), sink, compression="zstd", write_page_checksum=True)
        with replacing(path) as file:
            put(path, file, memoryview(sink.getvalue()).cast("B"))

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: Model) -> NetworkWiring:
        """The wiring of a network that `save` wrote.

        Raises KindError for the wiring of another network, FileError for what is no wiring, or a damaged one.
        """
        pa, parquet = pyarrow(), pyarrow("parquet")
        hint = "save one: net.wiring(x).save(path)"
        try:
            with open(path, "rb") as file:
                table = parquet.ParquetFile(file, page_checksum_verification=True).read()
        except OSError as error:
            if error.errno is not None:
                raise FileError(os.fspath(path), f"cannot be read: {error.strerror}") from error
            raise FileError(os.fspath(path), f"is no Parquet file that can be read: {error}", hint=hint) from error
        except (ValueError, pa.ArrowException) as error:
            raise FileError(os.fspath(path), f"is no Parquet file that can be read: {error}", hint=hint) from error
        if KEY not in (table.schema.metadata or {}):
            raise FileError(os.fspath(path), "is a Parquet file, but no wiring", hint=hint)
        try:
            return cls(from_arrow(table, model))
        except (*DAMAGED, pa.ArrowException) as error:
            if hasattr(error, "hint"):
                raise
            raise FileError(os.fspath(path), f"is a damaged wiring: {error}", hint=hint) from error
