# `make` lists what there is. Every target sets up what it needs.
.DEFAULT_GOAL := help
PORT ?= 8000
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup serve test check fix bench soak clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## the virtual environment, with everything

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --upgrade pip
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all]' --group dev
	@touch $@

serve: $(READY) ## serve on http://localhost:8000 (PORT=… for another port)
	$(BIN)/llmstream serve --port $(PORT)

test: $(READY) ## run the tests
	$(BIN)/python -m pytest -n auto --maxprocesses 4 $(ARGS)

check: $(READY) ## ruff, mypy and the import rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(READY) ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## measure; prints a table of ratios
	$(BIN)/python -m benchmarks $(ARGS)

soak: $(READY) ## 10,000 random cuts and resumes
	LLMSTREAM_TEST_CUTS=10000 $(BIN)/python -m pytest tests/test_resume.py --timeout 3600 $(ARGS)

clean: ## remove what was made
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis dist node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
