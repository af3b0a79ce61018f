# Every target sets itself up and can be repeated. Environments: .venv (locked versions), .venv-lowest, .venv-newest.
PYTHON ?= python3
TESTS ?=
BIN := .venv/bin
READY := .venv/.ready
PYTEST := -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: quickstart test fast test-lowest test-newest caches-newest upgrade check format lint types layers wheel clean

quickstart: $(READY)
	$(BIN)/unmask quickstart

test: $(READY)
	$(BIN)/python $(PYTEST) $(TESTS)

fast: $(READY)
	$(BIN)/python $(PYTEST) -m "not slow" $(TESTS)

test-lowest: .venv-lowest/.ready
	.venv-lowest/bin/python $(PYTEST) $(TESTS)

test-newest: .venv-newest/.ready
	.venv-newest/bin/python $(PYTEST) $(TESTS)

# What a release of transformers breaks first.
caches-newest: .venv-newest/.ready
	.venv-newest/bin/python $(PYTEST) tests/unit/models tests/unit/decoding/test_caching.py tests/architecture/test_transformers_api.py

upgrade: $(READY)
	scripts/lock $(TORCH)
	touch requirements/locked.txt

check: lint types layers test wheel

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

layers: $(READY)
	$(BIN)/lint-imports

wheel: $(READY)
	$(BIN)/python -m pytest -m wheel tests/architecture

$(READY): pyproject.toml scripts/setup requirements/locked.txt
	bash scripts/setup $(PYTHON) locked .venv
	touch $@

.venv-lowest/.ready: pyproject.toml scripts/setup scripts/bounds.py
	bash scripts/setup $(PYTHON) lowest .venv-lowest
	touch $@

.venv-newest/.ready: pyproject.toml scripts/setup
	bash scripts/setup $(PYTHON) newest .venv-newest
	touch $@

clean:
	rm -rf .venv .venv-lowest .venv-newest .mypy_cache .ruff_cache .pytest_cache build dist
