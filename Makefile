# Every target does its own set-up: a virtual environment in .venv, nothing global. A C compiler and Python 3.10 or
# newer are all it assumes; cmake and ninja come from PyPI where the system has none.
#
#   make demo      edit a picture, recompute only the edit, write what happened as one picture
#   make app       the editor in a browser: PICTURE=photograph.jpg, without PICTURE a gallery to begin with
#   make test      the fast tests
#   make slow      every test, the slow ones too; those that need torch, qemu-user … skip without them.
#                  PROFILE=--hypothesis-profile=thorough looks further; for both, SKIPS=… as in tests/skips.py, and
#                  ONCE=FILE goes on where a run ended: tests that passed are in the file, and are not run again
#   make fuzz      what reads files from outside, by changed inputs: NAME=pickles RUNS=100000 SEED=1, without NAME all
#   make lint      ruff, mypy, clang-format, workflow files;  make format  rewrites what they can
#   make docs      the documentation as a site in build/site, its notebooks executed
#   make wheel     dist/sige_mlx-VERSION-py3-none-PLATFORM.whl;  make macos-wheel  the same for Apple silicon, from anywhere
#   make clean     remove what the others made

PYTHON ?= python3
VENV ?= .venv
DIST ?= dist
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
PYTEST := $(VENV)/bin/python -m pytest --numprocesses auto --dist worksteal $(if $(SKIPS),--skips=$(SKIPS)) \
	$(if $(ONCE),--once=$(ONCE))
NATIVE := CMakeLists.txt $(shell find cpu -name '*.[ch]' -o -name CMakeLists.txt)
KERNELS := $(shell find cpu metal -name '*.[ch]' -o -name '*.cpp' -o -name '*.metal')

# Without CC the build would take the compiler that Python was compiled with, whether it is here or not.
ifeq ($(origin CC),default)
CC := $(shell for c in cc gcc clang; do command -v $$c && break; done)
endif
export CC

.PHONY: setup demo app test slow fuzz lint format docs wheel macos-wheel clean

setup: $(VENV)/.package

demo: $(VENV)/.package
	$(VENV)/bin/sige-mlx demo

app: $(VENV)/.app
	$(VENV)/bin/sige-mlx app $(PICTURE)

test: $(VENV)/.test
	$(PYTEST) -m "not slow"

slow: $(VENV)/.test
	$(PYTEST) $(PROFILE)

fuzz: $(VENV)/.test
	$(VENV)/bin/python -m tests.fuzz $(NAME) --runs $(or $(RUNS),10000) --seed $(or $(SEED),0)

lint: $(VENV)/.test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/clang-format --dry-run -Werror $(KERNELS)

format: $(VENV)/.test
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	$(VENV)/bin/clang-format -i $(KERNELS)

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --config-file docs/mkdocs.yml
	@echo 'The documentation is in build/site; search works where it is served: python3 -m http.server -d build/site'

wheel: $(VENV)/.python
	$(PIP) wheel --no-deps --wheel-dir $(DIST) .

# Not stripped: a strip that knows no Mach-O would break the signature. The back end tags wheels for this machine.
macos-wheel: $(VENV)/.test
	@$(PIP) install 'sige-mlx[cross]'
	zig=$$($(VENV)/bin/python -c 'import pathlib, ziglang; print(pathlib.Path(ziglang.__file__).with_name("zig"))') && \
	CMAKE_ARGS="'-DCMAKE_TOOLCHAIN_FILE=$(CURDIR)/cpu/macos-arm64.cmake' '-DSIGE_ZIG=$$zig'" \
	ZIG_GLOBAL_CACHE_DIR='$(CURDIR)/build/zig' ZIG_LOCAL_CACHE_DIR='$(CURDIR)/build/zig' \
	    $(PIP) wheel --no-deps --wheel-dir $(DIST)/macos -C install.strip=false -C build-dir=build/macos-arm64 .
	$(VENV)/bin/python -m wheel tags --remove --platform-tag macosx_14_0_arm64 $(DIST)/macos/*.whl
	mv $(DIST)/macos/*-macosx_14_0_arm64.whl $(DIST)
	rmdir $(DIST)/macos

clean:
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: a target is older than what it was made from, or it is done.

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	    { echo 'sige-mlx needs Python 3.10 or newer: make PYTHON=/path/to/python3 …' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo '$(PYTHON) cannot make virtual environments: install its module venv (Debian, Ubuntu: python3-venv)' >&2; \
	      exit 1; }
	@test -n '$(CC)' && command -v $(firstword $(CC)) >/dev/null || \
	    { echo 'sige-mlx compiles C and finds no compiler: install gcc or clang, or name another, CC=… make' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.package: $(VENV)/.python pyproject.toml $(NATIVE)
	@echo 'Building sige-mlx and installing it into $(VENV) (the first time takes a minute or two)'
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.app: pyproject.toml | $(VENV)/.package
	@echo 'Installing what the editor needs into $(VENV)'
	@$(PIP) install 'sige-mlx[app]'
	@touch $@

# The package is there already, so this installs what the extra adds and builds nothing again.
$(VENV)/.test: pyproject.toml | $(VENV)/.package
	@echo 'Installing what the tests and linters need into $(VENV)'
	@$(PIP) install 'sige-mlx[test]'
	@touch $@

$(VENV)/.docs: pyproject.toml | $(VENV)/.package
	@echo 'Installing what the documentation needs into $(VENV)'
	@$(PIP) install 'sige-mlx[docs]'
	@touch $@
