# All commands for contributors. Needs Python 3.11 or newer, make and the network; everything else is
# installed in .venv, and again only if a lock file has changed. `make help` lists the targets.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# Extra arguments, e.g. `make test ARGS="tests/policy -k origin"` or `make bench ARGS="--rounds 3"`.
ARGS ?=
# The number of processes that run the tests: more than cores, as many tests wait for a time limit.
WORKERS ?= 5
# The interpreter that .venv is created from; another version than before recreates .venv.
PYTHON ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test lint bench lock clean python-changed

help: ## list these targets
	@echo "make TARGET [PYTHON=python3.12] [ARGS=…]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/.dev ## create .venv with everything to develop, test and lint
	@echo "==> $(VENV) is ready: $$($(BIN)/python --version)"

demo: $(VENV)/.runtime ## run a legacy API, the proxy and a page; Ctrl-C stops them
	@$(BIN)/python -m corsproxy demo $(ARGS)

test: $(VENV)/.dev ## run the fast tests (.ci/run also runs the slow and the browser tests)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not browser and not slow" $(ARGS)

lint: $(VENV)/.dev ## run ruff, check the formatting, types (mypy --strict) and imports
	@echo "==> ruff check" && $(BIN)/ruff check .
	@echo "==> ruff format --check" && $(BIN)/ruff format --check .
	@echo "==> mypy --strict" && $(BIN)/mypy
	@echo "==> lint-imports" && $(BIN)/lint-imports

bench: $(VENV)/.dev ## compare CPU per request with other proxies (needs wrk and nginx)
	@$(BIN)/python -m bench.run $(ARGS)

lock: $(VENV)/.runtime ## update the lock files from pyproject.toml
	@$(PIP) install --quiet 'uv>=0.9,<1'
	@for job in "requirements.lock pyproject.toml" "requirements-build.lock --group build" \
	  "requirements-dev.lock pyproject.toml --group dev"; do \
	  set -- $$job; file=$$1; shift; echo "==> $$file"; \
	  $(BIN)/uv pip compile "$$@" --upgrade --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-header --quiet --output-file $$file.new || exit 1; \
	  { echo "# Exact versions with hashes, generated from pyproject.toml by make lock."; cat $$file.new; } > $$file; \
	  rm $$file.new; \
	done

clean: ## remove .venv and everything that tools left behind
	rm -rf $(VENV) build dist bench/out .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Two stamps: running needs only requirements.lock; developing needs the tools, whose lock file
# contains that one, and the console script.
$(VENV)/.runtime: requirements.lock $(VENV)/.python
	@echo "==> installing what corsproxy needs (requirements.lock)"
	@$(PIP) install --quiet --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml $(VENV)/.python
	@echo "==> installing the dependencies and the tools (requirements-dev.lock), half a minute"
	@$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	@echo "==> installing corsproxy itself, editable"
	@$(PIP) install --no-deps --no-build-isolation --quiet --editable .
	@touch $(VENV)/.runtime $@

# Recreated only if PYTHON names an interpreter of another version than that of .venv.
$(VENV)/.python: $(if $(PYTHON),python-changed)
	@found="$(PYTHON)"; \
	for candidate in $${found:-python3 python3.14 python3.13 python3.12 python3.11}; do \
	  found=; \
	  if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    found=$$candidate; break; \
	  fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "make: no Python 3.11 or newer found as '$(or $(PYTHON),python3)';" \
	    "install one, or pass its path: make setup PYTHON=/path/to/python3.12" >&2; exit 1; \
	fi; \
	version='import sys; print(sys.version_info[:3], sys.implementation.name)'; \
	wanted=$$($$found -c "$$version"); \
	if [ -x $(BIN)/python ] && [ "$$wanted" = "$$($(BIN)/python -c "$$version" 2>/dev/null)" ]; then \
	  [ -e $@ ] || touch $@; \
	else \
	  echo "==> creating $(VENV) with $$found ($$($$found --version))"; \
	  $$found -m venv --clear $(VENV) || { \
	    echo "make: $$found cannot create a virtual environment;" \
	      "on Debian: apt-get install python3-venv" >&2; exit 1; }; \
	  touch $@; \
	fi

python-changed:
