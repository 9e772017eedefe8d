# Everything here works on a machine that has only Python >= 3.11.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
PIP = $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test lint install

demo: $(READY)
	$(BIN)/hrdsl demo

test: $(READY)
	$(BIN)/python -m pytest -n 2 -q

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(READY)

# `render` has no wheel on some systems: pictures are then written as plain DOT.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "hint: hrdsl needs Python 3.11 or newer: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "hint: this Python cannot create virtual environments; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install -qq --only-binary pygraphviz -c constraints.txt -e '.[dev,onnx,data,render]' || \
	  { echo "the extra 'render' could not be installed, trying without it" >&2; \
	    $(PIP) install -qq -c constraints.txt -e '.[dev,onnx,data]'; }
	@touch $@
