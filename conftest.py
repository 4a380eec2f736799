"""Runs the python blocks of README.md and docs/ as tests; the blocks of one page share one namespace."""

import os
from importlib.util import find_spec

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

os.environ.setdefault("KERAS_BACKEND", "torch")  # Keras would look for TensorFlow, which is not in the environment
collect_ignore_glob = ["tests/files/data/*"]
if find_spec("tensorflow") is None:  # it has an environment of its own: make test-tf
    collect_ignore_glob += ["src/patchclamp/frameworks/tensorflow/*", "tests/support/tensorflow_samples.py"]

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
).pytest()
