# Everything a newcomer needs is the first three targets; `make help` lists them all.
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTRICKLE := .venvs/pytrickle
SOURCES := byoc_nb tests notebooks

.PHONY: help demo lab test bench lint format clean

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: $(READY)  ## run the quickstart without a browser; leaves its videos and the exported folder in demo-output/
	$(BIN)/python notebooks/demo.py demo-output

lab: $(READY)  ## open the quickstart in JupyterLab
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS) notebooks/01_quickstart.ipynb

test: $(READY) $(PYTRICKLE)/.ready programs  ## run every test
	BYOC_PYTRICKLE_PYTHON=$(abspath $(PYTRICKLE))/bin/python $(BIN)/python -m pytest $(ARGS)

bench: $(READY) $(PYTRICKLE)/.ready programs  ## measure beside pytrickle and ffmpeg; results in benchmarks/results/
	BYOC_PYTRICKLE_PYTHON=$(abspath $(PYTRICKLE))/bin/python $(BIN)/byoc-nb bench $(ARGS)

lint: $(READY)  ## style and types
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

format: $(READY)  ## format the sources
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean:  ## remove what make made
	rm -rf $(VENV) .venvs demo-output build dist

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "byoc_nb needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "creating $(VENV) (once, some minutes of downloads)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

# The reference implementation, against which the tests hold ours, apart from our environment: it pins another PyAV.
# torch first and pinned, because an unpinned one brings gigabytes of CUDA.
$(PYTRICKLE)/.ready:
	@echo "creating $(PYTRICKLE) (once)"
	$(PYTHON) -m venv $(PYTRICKLE)
	$(PYTRICKLE)/bin/pip install --quiet "$$(grep '^torch==' constraints.txt)"
	$(PYTRICKLE)/bin/pip install --quiet --only-binary=:all: pytrickle==0.1.6
	@touch $@

.PHONY: programs
programs:  # the tests' peers and browser; root on a Debian machine gets them installed, others are told
	@missing=""; command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null || missing="ffmpeg"; \
	  command -v chromium >/dev/null || missing="$$missing chromium"; \
	  if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null \
	      || echo "could not install$$missing: the tests that need it are skipped"; \
	  elif [ -n "$$missing" ]; then echo "not installed:$$missing; the tests that need it are skipped (apt-get install $$missing)"; fi
