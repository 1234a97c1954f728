# make demo: the whole chain in minutes; make test: lint, types and tests.
# Each makes .venv and installs by itself; the second time that takes no time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= icmass-demo
WORKERS ?= $(shell $(PYTHON) -c "import os; print(len(os.sched_getaffinity(0)))")

.PHONY: demo test slow lint clean

$(VENV)/.demo: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'icmass needs Python >= 3.11')"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: $(VENV)/.demo
	$(BIN)/icmass demo --out $(OUT)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) -q

slow: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m slow

clean:
	rm -rf $(VENV) $(OUT)
