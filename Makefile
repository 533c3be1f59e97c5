# starsift: `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One TensorFlow at a time: GPU=1 installs the CUDA build in place of the CPU build.
LOCK := $(if $(GPU),envs/gpu.txt,envs/cpu.txt)
CORES ?= $(shell nproc)
# `make real DIR=...`: the layout of the spectra in the folder (mrs, lrs or sdss).
KIND ?= lrs
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES)
# On one thread each, beside other jobs: two threads are less than twice as quick.
ONE_THREAD := emission_train=1 emission_predict=1 simulate_emission=1 simulate_lrs=1 simulate_mrs=1 \
    simulate_sdss=1 bhb_train=1 bhb_predict=1
DEMO := $(SNAKEMAKE) --set-threads $(ONE_THREAD) --configfile config/demo.yaml
REAL := $(SNAKEMAKE) --configfile config/real.yaml results/real.json
# One thread a test process, and as many of these as there are cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses $(CORES) --dist loadgroup
# Kernels of BLAS that any processor can run, to stand for other processors: their sums differ in the last bits.
KERNELS ?= $(if $(filter x86_64,$(shell uname -m)),Nehalem Haswell,ARMV8)
COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra dev

.DEFAULT_GOAL := help
.PHONY: help install demo real test test-all coverage test-kernels lint format settings lock wheel benchmarks clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

# Built in place and stamped last, so that an interrupted installation starts again.
$(VENV)/.installed: $(LOCK) pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("starsift needs Python 3.11 to 3.13, this is %d.%d: make PYTHON=python3.12" % v)'
	rm -rf $(VENV)  # of a link, only the link
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes --requirement $(LOCK)
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

install: $(VENV)/.installed  ## create .venv with the pinned dependencies (GPU=1: CUDA TensorFlow)

demo: install  ## simulate surveys, find their rare stars, score them, write results/report.html
	$(DEMO) --quiet rules
	$(DEMO) --quiet --report results/report.html
	@$(BIN)/starsift status
	@for card in results/scorecards/*.txt; do echo "== $$card"; cat "$$card"; done
	@echo
	@echo "Report:         results/report.html"
	@echo "Catalogues:     results/catalogs/"
	@echo "Your own files: make real DIR=/path/to/spectra KIND=mrs   (index, selection, packing)"
	@echo "A full survey:  $(BIN)/snakemake --cores $(CORES) --configfile my-survey.yaml   (docs/running.md)"

# In a file, from the environment: a folder's name may hold quotes, dollar signs and all else.
real: export REAL_DIR = $(value DIR)
real: export REAL_KIND = $(value KIND)
real: install  ## index, select and pack the spectra in DIR (KIND=mrs, lrs or sdss), say what the files are
	@test -n "$$REAL_DIR" || { echo 'give the folder of the spectra and their layout: make real DIR=/path/to/spectra KIND=mrs' >&2; exit 1; }
	@mkdir -p results
	@$(BIN)/python -c 'import json, os; e = os.environ; \
	    print(json.dumps({"surveys": {"real": {"root": e["REAL_DIR"], "kind": e["REAL_KIND"]}}}))' > results/real.new
	@# What was packed from another folder is no part of this run.
	@cmp -s results/real.new results/real.json || rm -rf results/spectra/real
	@mv results/real.new results/real.json
	$(REAL) --quiet rules -- results/manifest/real-status.csv
	@$(BIN)/starsift status

test: install  ## the tests, without those that take minutes
	$(PYTEST) -m "not slow"

test-all: install  ## all tests
	$(PYTEST)

coverage: install  ## the lines that the quick unit tests run
	$(PYTEST) -m "not slow" --ignore tests/workflow --ignore tests/browser --cov --cov-report=term-missing

test-kernels: install  ## the unit tests with the arithmetic of other processors
	for kernel in $(KERNELS); do \
	    OPENBLAS_CORETYPE=$$kernel NPY_DISABLE_CPU_FEATURES="X86_V3 X86_V4 AVX512_ICL" TF_ENABLE_ONEDNN_OPTS=0 \
	    $(PYTEST) -m "not slow" --ignore tests/workflow --ignore tests/browser || exit 1; \
	done

lint: install  ## formatting, ruff, mypy, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install  ## reformat all code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/snakefmt Snakefile workflow/rules

settings: install  ## write config.yaml, its schema and docs/settings.md from the models of the settings
	$(BIN)/python -m starsift.settings_files

lock:  ## renew envs/*.txt from pyproject.toml (needs uv)
	$(COMPILE) --extra cpu --output-file envs/cpu.txt pyproject.toml
	$(COMPILE) --extra gpu --output-file envs/gpu.txt pyproject.toml

wheel: install  ## dist/: a wheel that needs no checkout, and the source archive that it is made from
	$(BIN)/hatchling build

benchmarks: install  ## speed against the machine's limits, as tables
	@for script in benchmarks/[a-z]*.py; do $(BIN)/python $$script || [ $$? -eq 2 ] || exit 1; done  # 2: it asks for files

clean:  ## remove results and wheels; the environment stays
	rm -rf results .snakemake dist
