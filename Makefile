# `make` or `make help` lists the commands. Python 3.11 or newer and make are all they need.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run test lint proto lock clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(VENV)/.run-stamp ## run the whole shop here: stores, services and demonstration data
	@exec $(BIN)/python -m services.stack

test: $(VENV)/.dev-stamp ## run all tests on stores of their own (ARGS="..." goes to pytest)
	@$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.dev-stamp ## check style, types, imports, contracts and generated code
	@scripts/lint.sh

proto: $(VENV)/.dev-stamp ## check the contracts and generate the code from them
	@scripts/proto.sh

lock: ## lock the newest allowed versions of all packages, with hashes
	@PYTHON="$(PYTHON)" scripts/lock.sh

clean: ## remove the environment, all caches AND the shop's data (.data)
	rm -rf $(VENV) .data .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.run-stamp: requirements/run.txt pyproject.toml
	@PYTHON="$(PYTHON)" scripts/install.sh run
	@touch $@

# The same versions as for running, and the tools.
$(VENV)/.dev-stamp: requirements/dev.txt requirements/run.txt pyproject.toml
	@PYTHON="$(PYTHON)" scripts/install.sh dev
	@touch $(VENV)/.run-stamp $@
