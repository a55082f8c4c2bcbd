# `make` or `make help` lists the commands. Python 3.11 or newer and make are all they need.

PYTHON ?= python3
ARGS ?=
BASE ?= main

VENV := .venv
BIN := $(VENV)/bin
LOAD_VENV := .venv-load
ALONGSIDE := -n auto --dist loadfile --no-loadscope-reorder

# Hundreds of processes import the same modules in a run of the tests.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run up down image image-check test test-slow lint proto lock clean load load-ui prove-cache
.PHONY: bench bench-quick bench-rpc bench-gate bench-compare bench-cache

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(VENV)/.run-stamp ## run the whole shop here: stores, services and demonstration data
	@exec $(BIN)/python -m services.stack

up: ## run the whole shop in containers: two of each service, stores, Prometheus, Grafana
	@scripts/containers.sh up

down: ## stop the containers; their data stay
	@scripts/containers.sh down

image: ## build the images shop and shop-load, with docker, podman or buildah
	@scripts/image.sh $(ARGS)

image-check: $(VENV)/.dev-stamp ## on Debian as root: build the images, run the services out of them, test them
	@scripts/image-check.sh

test: $(VENV)/.dev-stamp ## run what a change needs to be trusted (ARGS="..." for a part, see README)
	@$(BIN)/python -m pytest $(or $(ARGS),-q --tb native $(ALONGSIDE) --ignore tests/slow)

# What measures latency runs alone, one test after another.
test-slow: $(VENV)/.dev-stamp $(VENV)/.chromium-stamp $(VENV)/.prometheus-stamp $(LOAD_VENV)/.stamp ## run the tests that take long: load, failover, browser, ... (ARGS as for test)
ifeq ($(ARGS),)
	@$(BIN)/python -m pytest -q --tb native $(ALONGSIDE) --ignore tests/slow/load tests/slow
	@SHOP_TRANSPORT=grpcio $(BIN)/python -m pytest -q --tb native $(ALONGSIDE) tests/e2e
	@$(BIN)/python -m pytest -q --tb native tests/slow/load
	@$(BIN)/python -m pytest -q --tb native -m hypothesis --hypothesis-profile random tests/unit tests/integration
else
	@$(BIN)/python -m pytest $(ARGS)
endif

lint: $(VENV)/.dev-stamp ## check style, types, imports, contracts and generated code
	@scripts/lint.sh

proto: $(VENV)/.dev-stamp ## check the contracts and generate the code from them
	@scripts/proto.sh

lock: ## lock the newest allowed versions of all packages, with hashes
	@PYTHON="$(PYTHON)" scripts/lock.sh

bench: $(VENV)/.dev-stamp ## measure what each layer costs (ARGS="help" for all that can be measured)
	@$(BIN)/python -m bench $(ARGS)

bench-quick: $(VENV)/.dev-stamp ## the same in less than a minute
	@$(BIN)/python -m bench layers --quick $(ARGS)

bench-rpc: $(VENV)/.dev-stamp ## measure an empty call and a cached read, by transport and interceptor
	@$(BIN)/python -m bench rpc $(ARGS)

bench-gate: $(VENV)/.dev-stamp ## fail if calls ask for more, or cost more, than bench/limits.toml allows
	@$(BIN)/python -m bench gate $(ARGS)

bench-compare: $(VENV)/.dev-stamp ## what changed in cost since another commit (BASE=main)
	@$(BIN)/python -m bench compare $(BASE) $(ARGS)

bench-cache: $(VENV)/.dev-stamp ## measure what a cached read costs, beside an empty call and naively
	@$(BIN)/python -m bench cache $(ARGS)

prove-cache: $(VENV)/.dev-stamp ## check read by read, under faults, that the cache shows nothing old
	@$(BIN)/python -m bench prove $(ARGS)

load: $(LOAD_VENV)/.stamp $(VENV)/.run-stamp ## put the shop under load and report what a client sees
	@$(LOAD_VENV)/bin/python -m loadtests run $(ARGS)

load-ui: $(LOAD_VENV)/.stamp $(VENV)/.run-stamp ## the same users in Locust's web interface
	@$(LOAD_VENV)/bin/python -m loadtests ui $(ARGS)

clean: ## remove the environment, all caches AND the shop's data (.data)
	rm -rf $(VENV) $(LOAD_VENV) .data .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.run-stamp: requirements/run.txt pyproject.toml
	@PYTHON="$(PYTHON)" scripts/install.sh run
	@touch $@

# The same versions as for running, and the tools.
$(VENV)/.dev-stamp: requirements/dev.txt requirements/run.txt pyproject.toml
	@PYTHON="$(PYTHON)" scripts/install.sh dev
	@touch $(VENV)/.run-stamp $@

# The page of a load run is looked at in a real browser.
$(VENV)/.chromium-stamp: scripts/chromium.sh $(VENV)/.dev-stamp
	@scripts/chromium.sh
	@touch $@

# Dashboards and alerts are tried on a real Prometheus.
$(VENV)/.prometheus-stamp: scripts/prometheus.sh $(VENV)/.dev-stamp
	@scripts/prometheus.sh $(BIN)
	@touch $@

$(LOAD_VENV)/.stamp: requirements/load.txt
	@PYTHON="$(PYTHON)" scripts/install.sh load
	@touch $@
