# starsift: `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One TensorFlow at a time: GPU=1 installs the CUDA build in place of the CPU build.
LOCK := $(if $(GPU),envs/gpu.txt,envs/cpu.txt)
CORES ?= $(shell nproc)
DIR ?= ../shared/data/lamost-lrs-dr10
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES)

.DEFAULT_GOAL := help
.PHONY: help install demo real test test-all lint format lock benchmarks clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

# Built in place and stamped last, so that an interrupted installation starts again.
$(VENV)/.installed: $(LOCK) pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("starsift needs Python 3.11 to 3.13, this is %d.%d: make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --require-hashes --requirement $(LOCK)
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

install: $(VENV)/.installed  ## create .venv with the pinned dependencies (GPU=1: CUDA TensorFlow)
