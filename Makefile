# starsift: `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One TensorFlow at a time: GPU=1 installs the CUDA build in place of the CPU build.
LOCK := $(if $(GPU),envs/gpu.txt,envs/cpu.txt)
CORES ?= $(shell nproc)
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES)
# On one thread each, beside other jobs: two threads are less than twice as quick.
ONE_THREAD := emission_train=1 emission_predict=1 simulate_emission=1 simulate_lrs=1 simulate_mrs=1 \
    simulate_sdss=1 bhb_train=1 bhb_predict=1
DEMO := $(SNAKEMAKE) --set-threads $(ONE_THREAD) --configfile config/demo.yaml
# The surveys that the shipped model sets learn from, and are scored on.
MODELS := $(SNAKEMAKE) --set-threads $(ONE_THREAD) --configfile config/models.yaml --directory build/models
# One thread a test process, and as many of these as there are cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses $(CORES) --dist loadgroup
# Kernels of BLAS that any processor can run, to stand for other processors: their sums differ in the last bits.
KERNELS ?= $(if $(filter x86_64,$(shell uname -m)),Nehalem Haswell,ARMV8)
COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra dev

.DEFAULT_GOAL := help
.PHONY: help install demo sift models test test-all coverage test-kernels lint format settings lock wheel benchmarks clean

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
	@echo "Your own files: make sift DIR=/path/to/spectra"
	@echo "A full survey:  $(BIN)/snakemake --cores $(CORES) --configfile my-survey.yaml   (docs/running.md)"

# From the environment: a folder's name may hold quotes, dollar signs and all else.
sift: export SIFT_DIR = $(value DIR)
sift: install  ## search the spectra in DIR: candidates, pictures, a report, in sift/
	@test -n "$$SIFT_DIR" || { echo 'give the folder of the spectra: make sift DIR=/path/to/spectra' >&2; exit 1; }
	@$(BIN)/starsift sift "$$SIFT_DIR"

models: install  ## train the model sets that come with starsift, anew, into resources/models/
	$(MODELS) --quiet rules -- models
	$(BIN)/starsift models resources/models --results build/models/results

test: install  ## the tests, without those that take minutes
	$(PYTEST) -m "not slow"

test-all: install  ## all tests
	$(PYTEST)

coverage: install  ## the lines that the quick unit tests run
	$(PYTEST) -m "not slow" --ignore tests/workflow --ignore tests/browser --cov --cov-report=term-missing

# Compiled functions check the bounds of arrays here, which takes a cache of their own.
test-kernels: install  ## the unit tests with the arithmetic of other processors, and bounds checked
	export NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(CURDIR)/build/numba; \
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

settings: install  ## write config.yaml, its schema, docs/settings.md and docs/columns.md from the models
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
