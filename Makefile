# All a newcomer needs. Everything lands in .venv and runs/; nothing outside this folder is touched.
PYTHON ?= python3
RECIPE ?= demo-64
BIN := .venv/bin

.PHONY: help install demo test slow check bench clean

help:     ## say what there is
	@sed -n 's/^\([a-z]*\): .*## /  make \1\t/p' $(MAKEFILE_LIST)

install:  ## put cosmogan and what it needs into .venv; the others do it by themselves
	@PYTHON='$(PYTHON)' scripts/install

demo: install  ## from nothing to a judged emulator; RECIPE=tiny is a smaller one
	@$(BIN)/cosmogan run $(RECIPE)

# Lines that numba compiles count as covered when they are compiled: hence its own, fresh cache.
test: check  ## the suite but for slow tests, and the coverage
	@rm -rf .venv/numba
	NUMBA_JIT_COVERAGE=1 NUMBA_CACHE_DIR='$(CURDIR)/.venv/numba' $(BIN)/python -m pytest --cov --cov-report=term:skip-covered --cov-fail-under=90

slow: install  ## the tests that take minutes each
	$(BIN)/python -m pytest -m slow

check: install  ## style, types, who imports whom, spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

bench: install  ## time the kernels
	$(BIN)/python -m pytest benchmarks --benchmark-enable --benchmark-only

clean:    ## remove what make made, but never runs/
	rm -rf .venv build *.egg-info .coverage .benchmarks .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
