# make run    bring every stage up to date, and show what came out
# make test   all tests this machine can run
# make check  style and types
# make setup  the environment only; the others call it

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# no telemetry from any tool, also while installing and testing
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export GX_ANALYTICS_ENABLED := False
export HF_HUB_DISABLE_TELEMETRY := 1
export OPENVINO_TELEMETRY_OPT_OUT := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false

.PHONY: run test check setup
.DEFAULT_GOAL := run

run: setup
	@$(BIN)/python -m flows.pipeline

test: setup
	@$(BIN)/python -m pytest

check: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

setup: $(VENV)/.installed

# torch first: without it pip takes a newer one with gigabytes of CUDA. optimum-intel last and without its
# dependencies: it wants torchvision, which the text models never need and which does not fit this torch.
$(VENV)/.installed: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Ratchet needs Python 3.11 or newer; name one with PYTHON=")'
	@test -x $(BIN)/python || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@$(PIP) --upgrade "pip>=25.1"
	@echo "installing torch"
	@$(PIP) -c constraints.txt torch==2.13.0
	@echo "installing the rest of constraints.txt; some minutes the first time"
	@$(PIP) -c constraints.txt -e . --group dev
	@$(PIP) --no-deps -c constraints.txt optimum-intel
	@touch $@
