# Two commands do everything: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
CACHE ?= $(HOME)/.cache/dosimeter

ASIDE := tests/app tests/benchmarks tests/poisoning

.PHONY: help run test demo studies lint check bench bench-full bench-gpu lock clean

help:
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/'

$(VENV)/bin/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.7'

$(STAMP): requirements.lock pyproject.toml | $(VENV)/bin/uv
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --editable .
	touch $@

$(DEV): requirements-dev.lock $(STAMP)
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements-dev.lock
	touch $@

run: $(STAMP) ## server and worker on 127.0.0.1:8000
	@exec $(BIN)/dosimeter serve

demo: $(STAMP) ## the demonstration study without a browser
	$(BIN)/dosimeter demo

studies: $(STAMP) ## every study in small, a line each; what is done is not repeated
	OMP_NUM_THREADS=1 $(BIN)/python -m poisoning study --all --profile smoke --threads 1 --out $(CACHE)/studies

test: $(DEV) ## every test: first those that may run side by side, then those that want the machine
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal $(ASIDE)
	$(BIN)/python -m pytest $(addprefix --ignore=,$(ASIDE))

lint: $(DEV) ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test ## what CI runs

bench: $(STAMP) ## how fast, as ratios to the plain way (minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks

bench-full: $(STAMP) ## the same at full length (hours)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks --size full

bench-gpu: $(STAMP) ## what the work itself takes on a GPU, whole
	$(BIN)/python -m benchmarks.device

lock: | $(VENV)/bin/uv ## resolve the locks anew
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --group dev -c requirements.lock -o requirements-dev.lock

clean: ## remove the environment and build leftovers
	rm -rf $(VENV) build dist *.egg-info
