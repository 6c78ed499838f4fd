# make demo: set up, write a demo shop's exports, run a night. make test: set up and run the tests.
PYTHON ?= python3
CUSTOMERS ?= 100000
RECORDS ?= 1000000
BIN := .venv/bin

.PHONY: demo test check bench bench-identity bench-models

demo: .venv/installed
	$(BIN)/python flows.py demo

test: .venv/installed-dev
	$(BIN)/python -m pytest

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/sqlfluff lint pipeline

bench: .venv/installed
	$(BIN)/python bench.py --customers $(CUSTOMERS)

bench-identity: .venv/installed
	$(BIN)/python bench_identity.py --records $(RECORDS)

bench-models: .venv/installed
	$(BIN)/python bench_models.py --customers $(RECORDS)

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@
