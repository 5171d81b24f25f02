# Verbs shared with CI. Everything happens in .venv; nothing is installed elsewhere.
PYTHON ?= python3
# Threads that wait for each other leave their core to other programs (docs/distilling.md).
export OMP_WAIT_POLICY ?= PASSIVE
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

OLDEST := .venv-oldest
OLDEST_TESTS := tests/integrations tests/serve tests/qdrant tests/encoders/test_leaf.py tests/test_space.py tests/test_vectors.py
UV := $(BIN)/python -m uv pip install --quiet --resolution lowest-direct --constraint constraints.txt

.PHONY: install fix check test test-slow test-chaos test-stock test-node test-server test-oldest demo bench clean

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

test-chaos: install
	$(BIN)/pytest -m chaos

# The published tests of langchain-qdrant and others on our stores; downloads their source distributions into .stock
test-stock: install
	$(BIN)/python -m tests.stock

test-node: install
	npm install --prefix .node --ignore-scripts --no-audit --no-fund --silent '@huggingface/transformers@^4.3'
	LEAF_EMBED_NODE=.node $(BIN)/pytest -m node tests/runtimes

# The same tests of collections against a real server, which must be empty: make test-server URL=http://localhost:6333
test-server:
	@test -n "$(URL)" || { echo "name an empty server: make test-server URL=http://localhost:6333"; exit 2; }
	$(MAKE) install
	LEAF_EMBED_QDRANT_URL=$(URL) $(BIN)/pytest tests/qdrant -k server

# The oldest releases that pyproject.toml allows: the query path and the frameworks without torch, then with it.
test-oldest: install
	$(BIN)/python -m pip install --quiet 'uv>=0.8'
	rm -rf $(OLDEST)/models
	$(BIN)/python -m tests.models $(OLDEST)/models
	$(BIN)/python -m uv venv --quiet --clear --python $(BIN)/python $(OLDEST)/query
	$(UV) --python $(OLDEST)/query/bin/python --group test --editable '.[qdrant,api,langchain,llama-index,haystack,serve]'
	LEAF_EMBED_TEST_MODELS=$(CURDIR)/$(OLDEST)/models $(OLDEST)/query/bin/python -m pytest $(OLDEST_TESTS)
	$(BIN)/python -m uv venv --quiet --clear --python $(BIN)/python $(OLDEST)/train
	$(UV) --python $(OLDEST)/train/bin/python --group test --editable '.[all]'
	$(OLDEST)/train/bin/python -m pytest $(OLDEST_TESTS) tests/distill/test_pipeline.py

demo: install
	$(BIN)/leaf-embed demo --output .demo

bench: demo
	$(BIN)/python benchmarks/query_path.py --leaf .demo/leaf --output benchmarks/results/query_path.json

clean:
	rm -rf $(VENV) $(OLDEST) .node .stock .demo .mypy_cache .pytest_cache .ruff_cache
