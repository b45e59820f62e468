# make demo    trains on the real wine data         make test    passes the tests
# Both need nothing but Python >= 3.11: they make .venv and install into it.
PYTHON ?= python3
BIN := .venv/bin
# Of 20,000 files a tenth is imported, and compiled then: pip would compile all of them, on one core.
INSTALL = $(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONDONTWRITEBYTECODE  # or every command that a test starts compiles what it imports

.PHONY: demo test test-slow test-all bench lint format readme clean

demo: .venv/installed
	$(BIN)/mtl train dataset=wine balancer=gradnorm

test: .venv/developing
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: .venv/developing
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow

test-all: .venv/developing
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'slow or not slow'

bench: .venv/developing
	$(INSTALL) '.[bench]'
	$(BIN)/python -m tests.bench.startup
	$(BIN)/python -m tests.bench.wine
	$(BIN)/python -m tests.bench.step
	$(BIN)/python -m tests.bench.solvers
	$(BIN)/python -m tests.bench.memory
	$(BIN)/python -m tests.bench.cells

lint: .venv/developing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/developing
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

readme: .venv/developing
	$(BIN)/python -m tests.manual

clean:
	rm -rf .venv build dist .*_cache

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) .
	touch $@

.venv/developing: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) '.[dev]'
	touch .venv/installed $@
