# Needs Python 3.11 or newer, git, make and a package index. Everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
READY := .venv/.ready
# A machine with a GPU may have its own PyTorch, and no package index: see docs/gpu.md
GPU_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,python3)

.DEFAULT_GOAL := help
.PHONY: help demo test test-services test-long test-faults test-gpu test-image lint bench-attribution bench-gpu bench-metrics bench-storage bench-scale clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## make synthetic scans, explain them, write a report
	$(BIN)/agg2exp demo --out demo

test: $(READY) lint ## the quick tests, which need no servers, on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile

test-services: $(READY) ## the tests that need servers, a browser or half a minute; what they need is installed here
	sh tests/services/install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "service or slow" --timeout 600 -n 2 --dist loadfile

test-long: $(READY) ## what takes minutes: a batch among faults, S3, privacy, the UI, a whole brain, trainings from forms
	sh tests/services/install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m long

test-faults: $(READY) ## a batch among kills and outages of every server, in a quarter of an hour
	sh tests/services/install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m faults -s tests/faults

test-gpu: ## what a GPU can change, in at most eight minutes; skipped where there is none
	$(GPU_PYTHON) -m pytest -m gpu -W default tests/gpu

test-image: $(READY) ## build the image on a base of Debian's packages (root, minutes, 10 GB), and run it
	apt-get install -y -qq --no-install-recommends buildah debootstrap >/dev/null
	AGG2EXP_TEST_IMAGE=1 $(BIN)/python -m pytest -m long tests/docker/test_image.py

lint: $(READY) ## style, types, import directions
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench-attribution: $(READY) ## speed of the attribution engine as ratios, in about eight minutes
	$(BIN)/python -m benchmarks.attribution

bench-gpu: ## speed on a GPU, each part in at most nine minutes: make bench-gpu PART=passes
	$(GPU_PYTHON) -m benchmarks.gpu $(if $(PART),--part $(PART))

bench-metrics: $(READY) ## cost of the benchmark of methods against the published procedure
	$(BIN)/python -m benchmarks.metrics

bench-storage: $(READY) ## writing and reading attributions: local disk, s3fs and obstore on a real S3 server
	sh tests/services/install
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.storage

bench-scale: $(READY) ## planning over an archive, weak scaling of workers, a backfill of 1,000 scans by two methods
	sh tests/services/install
	$(BIN)/python -m benchmarks.scale

clean: ## remove what make demo wrote
	rm -rf demo

# What a user needs. A torch that is in .venv already is kept: on a laptop, install a CPU build there first.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'error: $(PYTHON): older than Python 3.11; name a newer one with make PYTHON=...'; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -qq --disable-pip-version-check -c constraints.txt -e '.[report]'
	touch $(INSTALLED)

# What a developer needs beside that.
$(READY): $(INSTALLED)
	$(BIN)/pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev,report]'
	touch $(READY)
