# Every target sets itself up in .venv and can be repeated.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: quickstart test check format lint types layers wheel clean

quickstart: $(READY)
	$(BIN)/unmask quickstart

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

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

$(READY): pyproject.toml scripts/setup
	bash scripts/setup $(PYTHON)
	touch $(READY)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build dist
