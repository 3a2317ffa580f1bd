# `make` lists what there is. Every target sets up what it needs.
.DEFAULT_GOAL := help
PORT ?= 8000
PYTHON ?= python3
WORKERS ?= 4
MINUTES ?= 60
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
READY := $(VENV)/.ready
DEV := $(VENV)/.ready-dev

REACT := apps/react
PAGE := llmstream/page/index.html
PACKAGES := $(REACT)/node_modules/.package-lock.json

OLDEST := .cache/oldest
SCHEMA := .cache/schema
LIBRARIES := .cache/libraries
LLAMA := .cache/llama-cpp

.PHONY: help setup page serve lab test check oldest schema libraries llama-cpp fix bench soak dist clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

setup: $(DEV) ## the virtual environment, with everything

$(READY): pyproject.toml constraints.txt
	@echo "Setting up $(VENV), once; this takes one to three minutes."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --upgrade pip
	@$(PIP) --editable '.[all]'
	@touch $@

$(DEV): $(READY)
	@echo "Getting what the tests and JupyterLab need."
	@$(PIP) --editable '.[all]' --group dev
	@touch $@

page: $(PAGE) ## the chat page, which `serve` shows at /

ifeq ($(shell command -v npm),)
$(PAGE):
	@echo "npm is not there, so the chat page is not built; the rest works. Install Node 20 or later for it."
else
$(PACKAGES): $(REACT)/package-lock.json
	@echo "Getting the packages of the chat page."
	@cd $(REACT) && npm ci --no-progress --no-audit --no-fund --prefer-offline
	@touch $@

$(PAGE): $(PACKAGES) $(shell find $(REACT) -path $(REACT)/node_modules -prune -o -path $(REACT)/tests -prune -o -type f -print)
	@cd $(REACT) && npm run --silent build -- --logLevel warn
	@touch $@
endif

serve: $(READY) $(PAGE) ## serve on http://localhost:8000 (PORT=… for another port)
	$(BIN)/llmstream serve --port $(PORT)

lab: $(DEV) ## JupyterLab on the notebooks
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) \
		--LabApp.default_url=/lab/tree/notebooks/01-first-stream.ipynb $(ARGS)

test: $(DEV) $(PAGE) ## run the tests
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) --durations 10 $(ARGS)

check: $(DEV) $(PAGE) ## ruff, mypy, the import rule, tsc and biome
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if command -v npm >/dev/null; then cd $(REACT) && npm run --silent check; fi

$(OLDEST)/.ready: pyproject.toml tests/oldest/constraints.txt
	@echo "Getting the oldest versions that pyproject.toml allows."
	@$(PYTHON) -m venv --clear $(OLDEST)
	@$(OLDEST)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --upgrade pip
	@$(OLDEST)/bin/pip install --quiet --disable-pip-version-check --constraint tests/oldest/constraints.txt \
		--editable '.[all]' --group dev
	@touch $@

oldest: $(OLDEST)/.ready $(PAGE) ## run the tests with the oldest versions that pyproject.toml allows
	PYTHONDONTWRITEBYTECODE= $(OLDEST)/bin/python -m pytest -n $(WORKERS) -o filterwarnings=ignore $(ARGS)

$(SCHEMA)/.ready: tests/schema/constraints.txt
	@echo "Getting what asks a server all that its OpenAPI document allows."
	@$(PYTHON) -m venv --clear $(SCHEMA)
	@$(SCHEMA)/bin/pip install --quiet --disable-pip-version-check --constraint $< schemathesis
	@touch $@

schema: $(DEV) $(SCHEMA)/.ready ## hold the server against its OpenAPI document
	$(BIN)/python -m tests.schema.check $(SCHEMA)/bin/schemathesis $(ARGS)

$(LIBRARIES)/%/.ready: tests/libraries/constraints/%.txt
	@echo "Getting $*."
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

libraries: $(DEV) $(patsubst tests/libraries/constraints/%.txt,$(LIBRARIES)/%/.ready,$(wildcard tests/libraries/constraints/*.txt)) ## libraries that people build on, each in an environment of its own
	$(BIN)/python -m tests.libraries.check $(LIBRARIES) $(ARGS)

$(LLAMA)/.ready: $(addprefix tests/llama_cpp/,build.sh source.txt constraints.txt)
	@echo "Building llama.cpp, once; this takes ten minutes on two cores."
	@bash tests/llama_cpp/build.sh $(LLAMA) $(PYTHON)
	@touch $@

llama-cpp: $(DEV) $(LLAMA)/.ready ## real servers of llama.cpp, its own and the one in Python, built from source
	$(BIN)/python -m pytest tests/llama_cpp/real.py $(ARGS)

fix: $(DEV) $(PAGE) ## mend what ruff and biome can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	@if command -v npm >/dev/null; then cd $(REACT) && npm run --silent fix; fi

bench: $(DEV) ## measure; prints a table of ratios
	$(BIN)/python -m benchmarks $(ARGS)

soak: $(DEV) ## 10,000 random cuts (also where servers die), runs with faults, bodies; odd conditions, an hour of load
	LLMSTREAM_TEST_CUTS=10000 LLMSTREAM_TEST_ROUNDS=10000 LLMSTREAM_TEST_EXAMPLES=10000 \
		LLMSTREAM_TEST_REPLICA_CUTS=10000 LLMSTREAM_TEST_STORE_EXAMPLES=3000 LLMSTREAM_TEST_OWNER_DEATHS=200 $(BIN)/python -m pytest \
		tests/http/test_resume.py tests/http/test_soak.py tests/http/test_replicas_soak.py tests/http/test_fuzz.py \
		tests/runs/redis/test_property.py tests/runs/redis/test_deaths.py tests/soak/odd.py --timeout 3600 -o faulthandler_timeout=0 $(ARGS)
	$(BIN)/python -m tests.soak.long --minutes $(MINUTES)

dist: $(DEV) $(PAGE) ## what a release is: the wheel and the sdist in dist/, with the chat page in them, checked
	@if [ ! -f $(PAGE) ]; then echo "A release needs the chat page, and that needs Node 20 or later."; exit 1; fi
	@rm -rf dist
	$(BIN)/python -m build --outdir dist . >/dev/null
	@$(BIN)/python -m tests.release.check dist

clean: ## remove what was made
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis dist llmstream/page $(REACT)/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
