# Every target sets itself up and can be repeated. Environments: .venv (locked versions), .venv-lowest, .venv-newest.
PYTHON ?= python3
TESTS ?=
BIN := .venv/bin
READY := .venv/.ready
PYTEST := -m pytest -n 2 --dist loadfile --no-loadscope-reorder
# Shapes and types are checked in the fast loop. In the rest they would double the time.
UNCHECKED := UNMASK_TEST_CHECKED=0

.PHONY: quickstart test fast rest exhaustive test-lowest test-newest caches-newest upgrade check format index lint types layers wheel docs coverage clean

quickstart: $(READY)
	$(BIN)/unmask quickstart

test: fast rest

fast: $(READY)
	$(BIN)/python $(PYTEST) -m "not slow" $(TESTS)

rest: $(READY)
	$(UNCHECKED) $(BIN)/python $(PYTEST) -m "slow and not exhaustive" $(TESTS)

exhaustive: $(READY)
	$(UNCHECKED) $(BIN)/python $(PYTEST) -m exhaustive $(TESTS)

test-lowest: .venv-lowest/.ready
	$(UNCHECKED) .venv-lowest/bin/python $(PYTEST) -m "not exhaustive" $(TESTS)

test-newest: .venv-newest/.ready
	$(UNCHECKED) .venv-newest/bin/python $(PYTEST) -m "not exhaustive" $(TESTS)

# Which lines the fast loop runs: a table, pages in htmlcov/, and on GitHub a table beside the run.
coverage: $(READY)
	$(UNCHECKED) $(BIN)/python $(PYTEST) -m "not slow" --cov=unmask --cov-report=term:skip-covered --cov-report=html $(TESTS)
	@[ -z "$$GITHUB_STEP_SUMMARY" ] || $(BIN)/coverage report --format=markdown --skip-covered >> "$$GITHUB_STEP_SUMMARY"

# The documentation site, in site/: open site/index.html. Needs no torch; every link is checked.
docs: .venv-docs/.ready
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet

# What a release of transformers breaks first.
caches-newest: .venv-newest/.ready
	$(UNCHECKED) .venv-newest/bin/python $(PYTEST) -m "not exhaustive" tests/unit/models tests/unit/decoding/test_caching.py tests/architecture/test_transformers_api.py

upgrade: $(READY)
	scripts/lock $(TORCH)
	touch requirements/locked.txt

check: lint types layers test wheel

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# All that is generated: the index of components, the stubs of the packages that import them when they are named, the JSON
# schema of recipes, and docs/recipe.md.
index: $(READY)
	$(BIN)/python scripts/index.py
	$(BIN)/python scripts/recipe_reference.py

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/pydoclint --quiet src/unmask

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

.venv-docs/.ready: pyproject.toml
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip --disable-pip-version-check --quiet install uv
	VIRTUAL_ENV=$(CURDIR)/.venv-docs .venv-docs/bin/uv pip install --quiet --group docs
	touch $@

clean:
	rm -rf .venv .venv-lowest .venv-newest .venv-docs .mypy_cache .ruff_cache .pytest_cache build dist htmlcov site
