# Every command sets up what it needs in .venv, once. See CONTRIBUTING.md.
#
#   make demo    train, evaluate and export three toy tasks
#   make test    the tests and the examples in the docstrings
#   make lint    ruff and mypy
#   make setup   the environment alone
#   make clean   remove builds, caches and reports; .venv stays
#
# Variables:
#   PYTHON       the Python (3.10 or newer) that makes .venv; found by itself otherwise
#   WHEELS       a folder of prebuilt wheels, used if it exists
#   PIP_ARGS     more options for each `pip install`: -vv shows its progress
#   PYTEST_ARGS  more options for pytest, such as -m "not slow"
#   TEST_JOBS    processes that share the tests (default: 2), of up to 3 GB each

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test lint clean

PYTHON ?=
WHEELS ?= ../shared/wheels
PIP_ARGS ?=
PYTEST_ARGS ?=
TEST_JOBS ?= 2

VENV := .venv
PY := $(VENV)/bin/python
INSTALL := $(PY) -m pip --disable-pip-version-check install --quiet \
	--constraint requirements/reference.txt \
	$(if $(wildcard $(WHEELS)),--find-links $(WHEELS)) $(PIP_ARGS)

# The newest state of the environment that was reached: the stack alone, then with this
# package in it. A change of the second's sources costs seconds.
STACK := $(VENV)/.stack
READY := $(VENV)/.ready

help:
	@sed -n '3,7s/^#   //p' Makefile

setup: $(READY)
	@echo "==> $(VENV) is ready"

demo: $(READY)
	@$(PY) demo/demo.py

# One thread: the models of the tests are too small to gain from more, and some tests
# start processes of their own. Not the files of most tests first: the slowest have few,
# and at the end one process would be left with them.
test: export OMP_NUM_THREADS := $(or $(OMP_NUM_THREADS),1)
test: $(READY)
	@echo "==> Tests and docstring examples"
	@$(PY) -m pytest --numprocesses $(TEST_JOBS) --dist loadfile \
		--no-loadscope-reorder $(PYTEST_ARGS)

lint: $(READY)
	@echo "==> Lint: ruff check, ruff format, mypy (up to half a minute the first time)"
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

clean:
	@rm -rf build dist htmlcov .coverage .coverage.* *.egg-info \
		.pytest_cache .mypy_cache .ruff_cache
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune \
		-exec rm -rf {} +
	@echo "Removed builds, caches and reports. To remove the environment: rm -rf $(VENV)"

# Prefers the Python that the reference stack was tested with.
$(PY):
	@python="$(PYTHON)"; \
	for name in $${python:-python3.11 python3.12 python3.10 python3.13 python3 python}; do \
		if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; \
		then found="$$name"; break; fi; \
	done; \
	if [ -z "$${found:-}" ]; then \
		echo "gppf_mm needs Python 3.10 or newer (tested: 3.11), and found" \
			"$$( { "$${python:-python3}" --version || echo none; } 2>/dev/null)." \
			"Install one, or name it: make PYTHON=/path/to/python3.11" >&2; \
		exit 1; \
	fi; \
	if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$found cannot make a virtual environment: its venv module is missing." \
			"On Debian or Ubuntu: apt install $$("$$found" -c 'import sys; \
			print("python%d.%d-venv" % sys.version_info[:2])')" >&2; \
		exit 1; \
	fi; \
	echo "==> Making $(VENV) with $$("$$found" --version)"; \
	"$$found" -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }

# -g0: without debug information the build is a third shorter and the library 1.4 MB
# instead of 32. A GPU without the CUDA compiler gets mmcv's CPU operators.
define COMPILE_MMCV
	if ! command -v "$${CXX:-c++}" >/dev/null; then \
		echo "No wheel of mmcv fits, and compiling it needs a C++ compiler." \
			"On Debian or Ubuntu: apt install g++" >&2; \
		exit 1; \
	fi; \
	headers="$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("include"))')"; \
	if [ ! -e "$$headers/Python.h" ]; then \
		echo "No wheel of mmcv fits, and compiling it needs $$headers/Python.h." \
			"On Debian or Ubuntu: apt install python3-dev" >&2; \
		exit 1; \
	fi; \
	if [ -z "$${CUDA_HOME:-}" ] && ! command -v nvcc >/dev/null; then \
		export CUDA_VISIBLE_DEVICES=; \
	fi; \
	echo "    No wheel fits: compiling it, 11 to 15 minutes on two cores"; \
	CFLAGS=-g0 MMCV_WITH_OPS=1 MAX_JOBS=$$(getconf _NPROCESSORS_ONLN) \
		$(INSTALL) --no-build-isolation mmcv
endef

# In this order: torch before all that needs it, so that nothing pulls another; mmcv
# before the libraries that need it, because compiling it takes torch and the build tools.
$(STACK): requirements/reference.txt requirements/tests.txt requirements/runtime.txt \
		| $(PY)
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "$(VENV) has $$($(PY) --version), and gppf_mm needs 3.10 or newer." \
			"Remove it and try again: rm -rf $(VENV)" >&2; \
		exit 1; \
	}
	@echo "==> Setting up $(VENV): 6 GB; 2 to 5 minutes on a fast connection," \
		"15 more if mmcv has to be compiled. Only what is missing is installed."
	@echo "==> 1/4 Build tools"
	@$(INSTALL) setuptools wheel ninja psutil
	@echo "==> 2/4 torch and torchvision (5 GB, about 1 minute)"
	@$(INSTALL) torch torchvision
	@echo "==> 3/4 mmcv"
	@$(INSTALL) --no-deps --only-binary mmcv mmcv 2>/dev/null || { $(COMPILE_MMCV); }
	@echo "==> 4/4 mmengine, mmdet, mmsegmentation, mmpretrain, test tools (about 1 minute)"
	@$(INSTALL) --no-build-isolation -r requirements/reference.txt \
		-r requirements/runtime.txt -r requirements/tests.txt
	@touch $@

# --no-deps: the stack is complete, and a user's extra packages are left alone.
$(READY): $(STACK) pyproject.toml setup.py gppf_mm/version.py
	@echo "==> Installing gppf_mm into $(VENV), editable (seconds)"
	@PYTHONWARNINGS=ignore $(INSTALL) --no-build-isolation --no-deps --editable .
	@$(PY) -c 'import mmcv.ops, gppf_mm'
	@touch $@
