# Everything a newcomer needs is the first three targets; `make help` lists them all.
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTRICKLE := .venvs/pytrickle
DOCS := .venvs/docs
LOWEST := .venvs/lowest
SOURCES := byoc_nb tests notebooks hatch_build.py docs/generate.py
WORDS := $(SOURCES) benchmarks docs Makefile Dockerfile.gpu pyproject.toml $(wildcard *.md)
FAST := tests/frames tests/source tests/trickle tests/dashboard tests/test_architecture.py tests/test_params.py \
  tests/test_processor.py tests/test_dialects.py tests/test_find.py tests/test_needs.py tests/test_contributing.py \
  tests/docs/test_links.py tests/docs/test_messages.py tests/docs/test_generated.py
MEASURED := tests/trickle tests/runtime tests/export
RUNTIME := tests/trickle tests/frames tests/media tests/runtime tests/test_params.py tests/test_processor.py tests/test_dialects.py

BEGIN := $(shell date +%s)
export UV_SYSTEM_CERTS ?= 1

.PHONY: help demo lab notebooks docs test test-fast test-lowest bench coverage lint format clean

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: $(READY)  ## run the quickstart without a browser; leaves its videos and the exported folder in demo-output/
	@ready=$$(date +%s); $(BIN)/python notebooks/demo.py demo-output \
	  && echo "set-up took $$((ready - $(BEGIN))) s, the run $$(($$(date +%s) - ready)) s"

lab: $(READY)  ## open the quickstart in JupyterLab
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS) notebooks/01_quickstart.ipynb

notebooks: $(READY)  ## run the notebooks and write their outputs anew
	$(BIN)/python tests/e2e/notebooks_kit.py $(ARGS)

test: $(READY) $(PYTRICKLE)/.ready $(DOCS)/.ready programs  ## run every test
	BYOC_PYTRICKLE_PYTHON=$(abspath $(PYTRICKLE))/bin/python $(BIN)/python -m pytest --numprocesses 2 --dist loadscope $(ARGS)

test-fast: $(READY)  ## the tests that need no other program and little time: under a minute on two cores
	$(BIN)/python -m pytest $(FAST) $(ARGS)

test-lowest: $(LOWEST)/.ready  ## the container's tests with the oldest versions that pyproject.toml allows
	$(LOWEST)/bin/python -m pytest $(RUNTIME) $(ARGS)

coverage: $(READY)  ## which lines and branches the unit tests of trickle, runtime and export run
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q $(MEASURED) $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

docs: $(DOCS)/.ready  ## build the documentation into site/; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict $(ARGS)

bench: $(READY) $(PYTRICKLE)/.ready programs  ## measure beside pytrickle and ffmpeg; results in benchmarks/results/
	BYOC_PYTRICKLE_PYTHON=$(abspath $(PYTRICKLE))/bin/python $(BIN)/byoc-nb bench $(ARGS)

lint: $(READY)  ## style, types, spelling
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/codespell $(WORDS)

format: $(READY)  ## format the sources
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean:  ## remove what make made
	rm -rf $(VENV) .venvs demo-output build dist site

$(READY): pyproject.toml constraints.txt hatch_build.py byoc_nb/pytrickle_names.py
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

$(DOCS)/.ready: pyproject.toml constraints.txt
	@echo "creating $(DOCS) (once)"
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@

# Beside the oldest versions: today's torch and test tools, for which no bound is claimed.
$(LOWEST)/.ready: $(READY) pyproject.toml
	@echo "creating $(LOWEST) (once)"
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --editable .
	$(BIN)/uv pip freeze --quiet --exclude-editable --python $(LOWEST)/bin/python > $(LOWEST)/runtime.txt
	grep -E '^(torch|pytest.*|hypothesis|psutil|scikit-video|PyYAML)==' constraints.txt > $(LOWEST)/tests.txt
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --constraint $(LOWEST)/runtime.txt --requirement $(LOWEST)/tests.txt
	@touch $@

.PHONY: programs
programs:  # the tests' peers and browser; root on a Debian machine gets them installed, others are told
	@missing=""; command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null || missing="ffmpeg"; \
	  command -v chromium >/dev/null || missing="$$missing chromium"; \
	  command -v buildah >/dev/null || missing="$$missing buildah"; \
	  command -v docker-registry >/dev/null || command -v registry >/dev/null || missing="$$missing docker-registry"; \
	  if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null \
	      || echo "could not install$$missing: the tests that need it are skipped"; \
	  elif [ -n "$$missing" ]; then echo "not installed:$$missing; the tests that need it are skipped (apt-get install $$missing)"; fi
