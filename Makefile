# make demo: the whole chain in minutes; make test: lint, types and tests.
# Each makes .venv and installs by itself; the second time that takes no time.
# make docs: the site, in docs/_build/html, its tutorials run.
# make coverage, oldest, wheel, check-release, release, changelog, hooks, review: for those who change icmass, see CONTRIBUTING.md.
PYTHON ?= python3
VENV := .venv
OLDEST := .venv-oldest
DOCS := .venv-docs
RELEASE := .venv-release
BIN := $(VENV)/bin
OUT ?= icmass-demo
WORKERS ?= $(shell $(PYTHON) -c "import os; print(len(os.sched_getaffinity(0)))")

.PHONY: demo docs test slow lint coverage oldest wheel check-release release changelog hooks review clean

$(VENV)/.demo: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'icmass needs Python >= 3.11')"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,croissant]"
	touch $@

$(VENV)/.maintain: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,croissant,maintain]"
	touch $@

$(DOCS)/.docs: pyproject.toml constraints.txt
	test -x $(DOCS)/bin/python || $(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	touch $@

$(RELEASE)/.release: tools/requirements-release.txt constraints.txt
	test -x $(RELEASE)/bin/python || $(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet --constraint constraints.txt --requirement tools/requirements-release.txt
	touch $@

demo: $(VENV)/.demo
	$(BIN)/icmass demo --out $(OUT)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope -q

# The site, offline, warnings as errors. A tutorial is run again if its code has changed, and after `make clean`.
docs: $(DOCS)/.docs
	$(DOCS)/bin/python -m sphinx -b html -W --keep-going -d docs/_build/doctrees docs docs/_build/html

slow: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m slow

# Branches of src that the tests take; htmlcov/index.html shows the rest. Fails below 90 per cent.
coverage: $(VENV)/.maintain
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope -q --cov --cov-report=term --cov-report=html

# The tests with the oldest versions that pyproject.toml allows, in an environment of their own.
oldest:
	test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --constraint constraints-oldest.txt --editable ".[test]"
	$(OLDEST)/bin/python -m pytest -n $(WORKERS) --dist loadscope -q

# sdist and wheel in dist/; the wheel is installed apart from the sources and must run.
wheel: $(VENV)/.maintain
	rm -rf dist build/wheel
	$(BIN)/python -m build
	$(PYTHON) -m venv build/wheel
	build/wheel/bin/python -m pip install --quiet --constraint constraints.txt dist/*.whl
	cd build && wheel/bin/icmass --version && wheel/bin/icmass --help
	cd build && wheel/bin/python -c "import importlib.resources as r; assert (r.files('icmass') / 'py.typed').is_file()"

# The same and more: twine, the README's commands on every Python that is there, a bill of materials, known vulnerabilities.
check-release: $(RELEASE)/.release
	$(RELEASE)/bin/python tools/check_release.py $(CHECK)

# Version, citation and changelog of a release: make release VERSION=0.2.0; afterwards VERSION=0.3.0.dev0. Commits nothing.
release: $(RELEASE)/.release
	$(RELEASE)/bin/python tools/release.py $(or $(VERSION),$(error give VERSION=X.Y.Z))

changelog: $(VENV)/.maintain
	$(BIN)/towncrier build --draft --version next

hooks: $(VENV)/.maintain
	$(BIN)/pre-commit install

review: $(VENV)/.maintain
	$(BIN)/repo-review .

clean:
	rm -rf $(VENV) $(OLDEST) $(DOCS) $(RELEASE) docs/_build $(OUT) dist build htmlcov .coverage .coverage.*
