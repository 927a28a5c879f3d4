# Every target explains itself: `make` prints this file's `##` lines.
# Nothing here needs more than Python 3.11 and make; `.venv` is made on first use.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := python -m pip install --quiet --disable-pip-version-check --no-input

CORE_TESTS := $(wildcard tests/wire tests/sql tests/policy tests/impact tests/audit tests/test_gate.py)

.DEFAULT_GOAL := help
.PHONY: help demo test lint format compiled bench docs lock new-hazard clean
.DELETE_ON_ERROR:

help: ## print this list
	@echo "Holdpoint: make targets"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.run-stamp ## a shop database behind the gate; ARGS=--agent plays an agent, ARGS=--auto all
	@$(BIN)/holdpoint demo $(ARGS)

test: $(VENV)/.test-stamp lint ## install what tests need, check style, types and imports, run all tests
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

lint: $(VENV)/.test-stamp ## check style, formatting, types and import direction
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --strict
	@$(BIN)/lint-imports

format: $(VENV)/.test-stamp ## put every file into the house's format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: .venv-bench/.stamp ## compare direct, PgBouncer and the compiled gate; ARGS=--quick for a short look
	@.venv-bench/bin/python benchmarks/run.py $(ARGS)

compiled: .venv-bench/.stamp ## run the tests of the hot core against the compiled modules
	@.venv-bench/bin/python -c 'import sys, holdpoint.gate as gate; sys.exit(0 if gate.__file__.endswith(".so") \
		else "error: nothing is compiled here; is there a C compiler?")'
	@.venv-bench/bin/python -m pytest -q --numprocesses auto $(CORE_TESTS)

docs: .venv-docs/.stamp ## build the documentation into docs/_build
	@.venv-docs/bin/sphinx-build --fail-on-warning --keep-going --quiet docs docs/_build
	@echo "docs: open docs/_build/index.html"

lock: $(VENV)/.test-stamp ## resolve pyproject.toml into the lock files; ARGS=--upgrade for newest versions
	@$(BIN)/python .ci/lock.py $(ARGS)

new-hazard: $(VENV)/.run-stamp ## write the stubs of a finding; CODE=HP2299 NAME=big_update TITLE="..."
	@$(BIN)/python tools/new_hazard.py "$(CODE)" "$(NAME)" "$(TITLE)"

clean: ## remove everything that make made
	rm -rf $(VENV) .venv-bench .venv-docs .demo build dist docs/_build src/*.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# --- working environments --------------------------------------------------------------------------
# A stamp is newer than what it was made from, so a second run starts at once.

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "error: no python3 on the path; install Python 3.11 or newer"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is too old; name Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "error: Python cannot make virtual environments; on Debian: apt install python3-venv"; exit 1; }

$(VENV)/.run-stamp: requirements.txt pyproject.toml setup.py | $(VENV)/bin/python
	@echo "installing what Holdpoint needs (once; about a minute)"
	@$(BIN)/$(PIP_INSTALL) --require-hashes -r requirements.txt
	@HOLDPOINT_COMPILE=0 $(BIN)/$(PIP_INSTALL) --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/.test-stamp: requirements-test.txt $(VENV)/.run-stamp
	@echo "installing what the tests need (once)"
	@$(BIN)/$(PIP_INSTALL) --require-hashes -r requirements-test.txt
	@touch $@

# Not editable, so that compiled modules never lie beside their sources.
.venv-bench/.stamp: requirements-test.txt $(shell find src -name '*.py' -o -name '*.sql' 2>/dev/null) setup.py
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@echo "compiling and installing into .venv-bench"
	@.venv-bench/bin/$(PIP_INSTALL) --require-hashes -r requirements-test.txt
	@rm -rf build
	@.venv-bench/bin/$(PIP_INSTALL) --no-build-isolation --no-deps --force-reinstall .
	@touch $@

.venv-docs/.stamp: requirements-docs.txt
	@test -x .venv-docs/bin/python || $(PYTHON) -m venv .venv-docs
	@.venv-docs/bin/$(PIP_INSTALL) --require-hashes -r requirements-docs.txt
	@touch $@
