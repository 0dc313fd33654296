# `make run` and `make test` are the two commands of the README; each installs what it needs first.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
PYTEST := $(BIN)/pytest -q

# Images often set it; then each of the dozen processes of a run compiles all of Prefect anew: 3 s.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install run down test lint bench docs lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## make .venv with everything in it, .venv/bin/xops included

# uv is fetched by pip with its hash, then installs the rest, each with its hash: ten times faster.
$(STAMP): requirements.lock requirements-uv.lock pyproject.toml
	@python=$$(scripts/find-python) && "$$python" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements-uv.lock
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock requirements-uv.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

run: install ## start the embedded stack and provision Stream 1; ONCE=1 ends after the summary
	@$(BIN)/xops up $(if $(ONCE),--once)

down: install ## stop what `make run` has started
	@$(BIN)/xops down

test: install ## every test this machine can run; says what it left out and why
	$(PYTEST) tests/unit
	$(PYTEST) tests/contract tests/integration tests/rig tests/e2e

lint: install ## ruff, mypy --strict, import contracts, terraform fmt and validate
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/lint_terraform.py

bench: install ## ratios against named baselines, measured in one run
	$(BIN)/python -m bench

docs: install ## the documentation as a site in ./site
	$(BIN)/mkdocs build --strict

# Lock files of another kind (uv.lock) record the hosts of registries; this one holds hashes only.
lock: install ## pin every package anew from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.12 \
	  --generate-hashes --no-emit-index-url --no-header --quiet --upgrade -o requirements.lock

clean: ## remove what was made here: the environment, caches and the embedded stack's data
	@test ! -x $(BIN)/xops || $(BIN)/xops down
	rm -rf $(VENV) .xops .mypy_cache .ruff_cache .pytest_cache .hypothesis site test-output
