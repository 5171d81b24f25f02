# Verbs shared with CI. Everything happens in .venv; nothing is installed elsewhere.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install fix check test test-slow test-node demo bench clean

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

test-node: install
	npm install --prefix .node --ignore-scripts --no-audit --no-fund --silent '@huggingface/transformers@^4.3'
	LEAF_EMBED_NODE=.node $(BIN)/pytest -m node tests/runtimes

demo: install
	$(BIN)/leaf-embed demo --output .demo

bench: demo
	$(BIN)/python benchmarks/query_path.py --leaf .demo/leaf --output benchmarks/results/query_path.json

clean:
	rm -rf $(VENV) .node .demo .mypy_cache .pytest_cache .ruff_cache
