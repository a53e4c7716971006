# Start here: `make demo` trains and tries a tagger, `make test` runs the tests; both make their own .venv first.
# Written for GNU make 3.81 (macOS) and later, and for any POSIX shell.
#
#   PYTHON=       which Python to use (3.11 or newer); otherwise the first of CANDIDATES that is new enough
#   TORCH_INDEX=  where to take torch from, for example a folder of the PyTorch project's own builds
#   VENV=         the folder of the virtual environment
#   ARGS=         more arguments for pytest, for example ARGS="-k spans"
#   WORKERS=      processes that share the tests, 2 by default; 0 runs them in pytest's own process

PYTHON ?=
TORCH_INDEX ?=
VENV ?= .venv
ARGS ?=
WORKERS ?= 2

SHELL := /bin/sh
CANDIDATES := python3.11 python3.12 python3.13 python3.14 python3 python
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
STRUCTSEQ := $(PY) -m structseq

FLIGHTS := corpora/flights/en
DEMO := demo/flights-en
# 15 epochs instead of the default 20: a quarter less time.
BRIEFLY := --set training.epochs=15

.DEFAULT_GOAL := help
.PHONY: help demo test lint check clean clean-demo FORCE
.NOTPARALLEL:

help:
	@echo 'make demo    train a flight-booking tagger on the shipped corpus, show its score, tag two sentences'
	@echo 'make test    run the tests'
	@echo 'make lint    check form (ruff) and types (mypy)'
	@echo 'make check   lint, then test'
	@echo 'make clean   remove $(VENV), $(DEMO) and caches'
	@echo 'Options: PYTHON=python3.12, TORCH_INDEX=URL (where to take torch from), VENV=folder, ARGS="words for pytest"'

# --- the virtual environment ------------------------------------------------------------------------------------------
#
# $(VENV)/.made        what it was made with: place, Python, source of torch
# $(VENV)/.unfinished  an installation is running or was interrupted: the next one starts afresh
# $(VENV)/.run, .dev   the package is installed; with the tools for tests and lint too

# Not empty if the environment must be made again: interrupted, moved, its Python gone, or made with other options.
STALE := $(shell test ! -e "$(VENV)/.unfinished" && test -x "$(PY)" \
	&& grep -qsxF "place $$(pwd -P)" "$(VENV)/.made" \
	&& { test -z "$(PYTHON)" || grep -qsxF "python $(PYTHON)" "$(VENV)/.made"; } \
	&& { test -z "$(TORCH_INDEX)" || grep -qsxF "torch $(TORCH_INDEX)" "$(VENV)/.made"; } \
	|| echo stale)
ifneq ($(STALE),)
$(VENV)/.made: FORCE
endif

# Sets $$python to the first candidate that is new enough and can make environments, or prints what is missing.
FIND_PYTHON = python=; venvless=; \
	for candidate in $(if $(PYTHON),"$(PYTHON)",$(CANDIDATES)); do \
	  "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	  if "$$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1; then python=$$candidate; break; fi; \
	  test -n "$$venvless" || venvless=$$candidate; \
	done; \
	if test -z "$$python" && test -n "$$venvless"; then \
	  echo "$$venvless cannot make virtual environments because its venv or ensurepip module is missing: install it" \
	    "(on Debian and Ubuntu: apt install python3-venv) or name another Python with PYTHON=." >&2; exit 1; \
	fi; \
	if test -z "$$python"; then \
	  echo "$(if $(PYTHON),PYTHON=$(PYTHON) is not,None of $(CANDIDATES) is) a Python 3.11 or newer that runs:" \
	    "install one from python.org or your system, or name it with PYTHON=." >&2; exit 1; \
	fi

$(VENV)/.made:
	@$(FIND_PYTHON); \
	if test -e "$(VENV)" && test ! -e "$(VENV)/.made" && test ! -e "$(VENV)/.unfinished"; then \
	  echo "$(VENV) is there and was not made by this Makefile: move it away, or name another place with VENV=." >&2; \
	  exit 1; \
	fi; \
	echo "Making $(VENV) with $$python"; \
	rm -rf "$(VENV)" && mkdir -p "$(VENV)" && : > "$(VENV)/.unfinished" && "$$python" -m venv "$(VENV)" || { \
	  echo "$$python could not make a virtual environment in $(VENV); its own words are above." >&2; exit 1; }; \
	{ echo "place $$(pwd -P)"; echo "python $$python"; echo "torch $(TORCH_INDEX)"; } > "$(VENV)/.made"

# If TORCH_INDEX is set, torch is installed first and alone, so that only torch comes from there.
INSTALL = : > "$(VENV)/.unfinished"; \
	echo "Installing structseq and what it needs into $(VENV); the first time this takes some minutes"; \
	index=$$(sed -n 's/^torch //p' "$(VENV)/.made"); \
	{ test -z "$$index" || $(PIP) install --constraint constraints.txt --no-deps --index-url "$$index" torch; } \
	&& $(PIP) install --constraint constraints.txt --editable "$(WHAT)" || { \
	  echo "pip could not install what structseq needs; its own words are above:" \
	    "check the network and the package index, then run make again." >&2; exit 1; }; \
	rm -f "$(VENV)/.unfinished"; touch "$(VENV)/.run"

$(VENV)/.run: WHAT := .
$(VENV)/.run: $(VENV)/.made pyproject.toml constraints.txt
	@$(INSTALL)

$(VENV)/.dev: WHAT := .[test,lint]
$(VENV)/.dev: $(VENV)/.made pyproject.toml constraints.txt
	@$(INSTALL); touch "$(VENV)/.dev"

# --- targets ----------------------------------------------------------------------------------------------------------

# config.json is the last file that training writes; without it, the run was interrupted and is resumed.
demo: $(VENV)/.run
	@if test -e $(DEMO)/config.json; then \
	  echo "$(DEMO) is trained already (make clean-demo removes it); its score on the test sentences:"; \
	  $(STRUCTSEQ) evaluate $(DEMO) $(FLIGHTS)/test.conll; \
	else \
	  resume=; if test -e $(DEMO); then resume=--resume; echo "$(DEMO) was cut off; going on from there"; fi; \
	  $(STRUCTSEQ) train $(FLIGHTS)/train.conll --dev $(FLIGHTS)/dev.conll --test $(FLIGHTS)/test.conll \
	    --output $(DEMO) $(BRIEFLY) $$resume; \
	fi
	@echo; echo 'The same city, twice; the verb before it decides what it is:'; echo
	@printf '%s\n' arrive Taipei on November 2nd '' leave Taipei on November 2nd | $(STRUCTSEQ) tag $(DEMO) -

# With bytecode written: without it, each of the tests' processes compiles the package again.
test: $(VENV)/.dev
	PYTHONDONTWRITEBYTECODE= $(PY) -m pytest --numprocesses $(WORKERS) $(ARGS)

lint: $(VENV)/.dev
	@status=0; for check in 'ruff check .' 'ruff format --check .' mypy; do \
	  echo "$(PY) -m $$check"; $(PY) -m $$check || status=1; done; exit $$status

check: lint test

clean-demo:
	rm -rf $(DEMO)

clean: clean-demo
	@if test -e "$(VENV)" && test ! -e "$(VENV)/.made" && test ! -e "$(VENV)/.unfinished"; then \
	  echo "$(VENV) was not made by this Makefile and stays."; \
	else echo 'rm -rf "$(VENV)"'; rm -rf "$(VENV)"; fi
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . \( -name .git -o -name '.venv*' \) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
