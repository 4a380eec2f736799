"""TensorFlow checkpoints (`x.index` beside `x.data-00000-of-00001`) and the variables of a SavedModel.

No graph is built and no function of a SavedModel is run: an index says where each variable's numbers lie, and those are
read by byte range. Source: tensorflow/core/util/tensor_bundle of tensorflow/tensorflow.
"""

from __future__ import annotations

from .opening import open_checkpoint, open_prefix, open_saved_model, open_source, sniff

__all__ = ["open_checkpoint", "open_prefix", "open_saved_model", "open_source", "sniff"]
