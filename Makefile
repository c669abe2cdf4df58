# The project's own commands; everything they need is installed into .venv.
#   make quickstart   install, then one whole search on a generated sample, without a GPU
#   make test         install, then lint, types and every test
#   make check        the quick loop: lint, types, fast tests
#   make bench        the benchmarks that need nothing; with MODEL=DIR COLD=DIR more of them
#   make clean        removes what the commands above made, except studies and experiments
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Two processes use two cores; one thread each keeps them from getting in each other's way.
# Compiled modules are kept, for thousands of tests start hundreds of interpreters.
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --dist worksteal
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help quickstart test check lint bench clean

help:
	@sed -n '2,6s/^# *//p' Makefile

quickstart: $(VENV)/installed
	$(BIN)/cp-search run spaces/quickstart.yaml

test: lint
	$(PYTEST) -n $(JOBS)

check: lint
	$(PYTEST) -n $(JOBS) -q -m "not slow"

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy trainer search tests benchmarks

# With MODEL=DIR COLD=DIR (an encoder, COLD's CSV files) also those about them; the others: python -m benchmarks.NAME --help.
bench: $(VENV)/installed-test
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.trial_start
	$(BIN)/python -m benchmarks.report
	$(BIN)/python -m benchmarks.storages
	$(BIN)/python -m benchmarks.scale
ifneq ($(and $(MODEL),$(COLD)),)
	$(PIP) install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks.throughput --model $(MODEL) --cold $(COLD)
	$(BIN)/python -m benchmarks.trial_start --model $(MODEL) --cold $(COLD)
	$(BIN)/python -m benchmarks.data --model $(MODEL) --cold $(COLD)
	$(BIN)/python -m benchmarks.cold_search --model $(MODEL) --cold $(COLD) --out studies/cold
endif

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find trainer search tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "cp-search needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1 || true)." >&2; \
	  echo "Name a newer one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# PyTorch first and pinned: whatever comes after finds it there and cannot bring another build.
$(VENV)/torch: $(VENV)/bin/python constraints.txt
	$(PIP) install --quiet --constraint constraints.txt torch
	@touch $@

$(VENV)/installed: $(VENV)/torch pyproject.toml
	$(PIP) install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/torch pyproject.toml
	$(PIP) install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@ $(VENV)/installed
