# Two commands do everything: `make demo` and `make test`. Each sets up what it needs.
SHELL := /bin/bash
PY ?= python3
V := .venv
BIN := $(V)/bin
export UV_FIND_LINKS := $(or $(UV_FIND_LINKS),$(PIP_FIND_LINKS))

.PHONY: help setup test check clean
help:            ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ —/'

$(V)/.uv:
	$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Swathpack needs Python 3.10 or newer; set PY=python3.x")'
	$(PY) -m venv $(V)
	$(BIN)/python -m pip install -q uv
	@touch $@

$(V)/.dev: $(V)/.uv pyproject.toml constraints.txt
	$(BIN)/python -c 'import torch' 2>/dev/null || $(BIN)/python -m pip install -q -c constraints.txt torch==2.13.0
	$(BIN)/uv pip install -q -p $(BIN)/python -c constraints.txt numpy scikit-build-core pybind11 ninja cmake
	$(BIN)/uv pip install -q -p $(BIN)/python -c constraints.txt --no-build-isolation -e '.[dev]'
	@touch $@

setup: $(V)/.dev ## install everything into .venv
