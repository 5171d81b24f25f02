# Verbs shared with CI. Everything happens in .venv; nothing is installed elsewhere.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install fix check test test-slow demo bench clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev --editable '.[all]'
	@touch $(STAMP)

fix: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: install
	$(BIN)/pytest

test-slow: install
	$(BIN)/pytest -m slow

demo: install
	$(BIN)/leaf-embed demo --output .demo

bench: demo
	$(BIN)/python benchmarks/query_path.py --leaf .demo/leaf --output benchmarks/results/query_path.json

clean:
	rm -rf $(VENV) .demo .mypy_cache .pytest_cache .ruff_cache
