"""Runs the python blocks of README.md and docs/ as tests; the blocks of one page share one namespace."""

import os

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

os.environ.setdefault("KERAS_BACKEND", "torch")  # Keras would look for TensorFlow, which is not in the environment
collect_ignore_glob = ["tests/files/data/*"]

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
).pytest()
