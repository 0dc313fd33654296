# `make run` and `make test` are the two commands of the README; each installs what it needs first.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
PYTEST := $(BIN)/pytest -q

# Tests wait more than they compute: one worker more than a small machine has processors. Those
# that share a server, and those of a file, stay on one worker; the folders are started in this
# order, the longest first.
WORKERS ?= 3
SPREAD = -n $(WORKERS) --dist loadgroup --no-loadscope-reorder
SLOW := tests/rig tests/e2e tests/integration tests/contract
ROUNDS ?= 20

# Images often set it; then each of the dozen processes of a run compiles all of Prefect anew: 3 s.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install run down check format lint types unit contract test soak bench docs lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## make .venv with everything in it, .venv/bin/xops included

# uv is fetched by pip with its hash, then installs the rest, each with its hash: ten times faster.
# What builds the one package that has no wheel (python-terraform) is pinned and hashed as well.
$(STAMP): requirements.lock requirements-uv.lock requirements-build.lock pyproject.toml
	@python=$$(scripts/find-python) && "$$python" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements-uv.lock
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --build-constraints requirements-build.lock \
	  requirements.lock requirements-uv.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

run: install ## start the embedded stack and provision Stream 1; ONCE=1 ends after the summary
	@$(BIN)/xops up $(if $(ONCE),--once)

down: install ## stop what `make run` has started
	@$(BIN)/xops down

# What is to answer at once tries a fifth of the examples of a property; `make test` tries them all.
unit check: export XOPS_EXAMPLES ?= 0.2

check: lint types unit contract ## before every commit, in two minutes: lint, types, unit, contract

format: install ## write Python and Terraform as `make lint` wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python scripts/lint_terraform.py --write

lint: install ## ruff, import contracts, shellcheck, terraform fmt and validate
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/shellcheck .ci/run scripts/find-python tests/rig/k3s/build.sh
	$(BIN)/shellcheck --shell=sh --exclude=SC1091 xops/k3s/scripts/*.sh
	$(BIN)/python scripts/lint_terraform.py

types: install ## mypy --strict over the library, the flows, tests and tools
	$(BIN)/mypy

unit: install ## the pure rules, in seconds
	$(PYTEST) -n 2 tests/unit

contract: WORKERS = 2
contract: install ## what is agreed with others: prefect.yaml, command lines, schemas, documents
	$(PYTEST) $(SPREAD) tests/contract

test: install ## every test this machine can run; says what it left out and why
	$(PYTEST) -n 2 tests/unit
	$(PYTEST) $(SPREAD) $(SLOW)

soak: install ## the long form of what depends on chance or the moment, ROUNDS times over; hours
	XOPS_SOAK=$(ROUNDS) $(PYTEST) $(SPREAD) -m "soak or hypothesis" $(SLOW) tests/unit

bench: install ## ratios against named baselines, measured in one run
	$(BIN)/python -m bench

docs: install ## the documentation as a site in ./site
	$(BIN)/mkdocs build --strict

# Lock files of another kind (uv.lock) record the hosts of registries; this one holds hashes only.
lock: install ## pin every package anew from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.12 \
	  --generate-hashes --no-emit-index-url --no-header --quiet --upgrade -o requirements.lock
	printf 'setuptools\nwheel\n' | $(BIN)/uv pip compile - --universal --python-version 3.12 \
	  --generate-hashes --no-emit-index-url --no-header --quiet --upgrade -o requirements-build.lock
	printf 'cyclonedx-bom\n' | $(BIN)/uv pip compile - --universal --python-version 3.12 \
	  --generate-hashes --no-emit-index-url --no-header --quiet --upgrade -o requirements-release.lock

clean: ## remove what can be made again: the environment, caches and the embedded stack's data
	@test ! -x $(BIN)/xops || $(BIN)/xops clean
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis site test-output
