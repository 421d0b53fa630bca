# Dingshi: the same words as make.bat. Packages come from wherever this machine's pip takes them.
#   make PYTHON=/path/to/python3.12 init    another Python       make fault SIZE=ci    the small size

SIZE ?= full
PY := .venv/bin/python
TESTS := tests --ignore=tests/browser --ignore=tests/fault --ignore=tests/bench

.PHONY: help init run test check fault bench environment packages tools once
.NOTPARALLEL:

help:
	@echo "make init    set everything up here: environment in .venv, packages, store"
	@echo "make run     start (sets up first what is missing)"
	@echo "make test    all quick tests"
	@echo "make check   ruff, mypy for Linux and Windows"
	@echo "make fault   faults on purpose: kill -9, full disk and others (SIZE=ci: the small size)"
	@echo "make bench   speed, measured"

init: packages
	@$(PY) run.py init
	@touch .venv/.initialised

# The start makes the store, or brings it up to date after an update.
run: packages
	@$(PY) run.py

test: once tools
	@$(PY) -m pytest -q -n auto $(TESTS)

check: tools
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(PY) -m mypy --platform win32

fault: tools
	@$(PY) -m tests.fault --size $(SIZE)

bench: tools
	@$(PY) -m tests.bench

once: packages
	@test -f .venv/.initialised || $(MAKE) --no-print-directory init

# The copies in .venv tell which requirements are installed there.
packages: environment
	@cmp -s requirements.txt .venv/.requirements.txt || { \
	  echo "Installing packages ..." && \
	  $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt && \
	  cp requirements.txt .venv/.requirements.txt; }

tools: packages
	@cmp -s requirements-dev.txt .venv/.requirements-dev.txt || { \
	  echo "Installing packages for tests ..." && \
	  $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt && \
	  cp requirements-dev.txt .venv/.requirements-dev.txt; }

# Of the Pythons here the first that is new enough and can make an environment; else the one command that helps.
environment:
	@$(PY) -m pip --version >/dev/null 2>&1 || { \
	  bare=; \
	  for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 python; do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	    "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1 && \
	      echo "Setting up .venv ..." && exec "$$python" -m venv --clear .venv; \
	    bare=$${bare:-$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')}; \
	  done; \
	  root=; test "$$(id -u)" = 0 || root="sudo "; \
	  if test -n "$$bare"; then \
	    echo "Python $$bare is here, but without ensurepip. This helps:" >&2; \
	  else \
	    echo "Dingshi needs Python 3.11 or newer; here is $$(python3 --version 2>/dev/null || echo none). This helps:" >&2; \
	    for bare in 3.13 3.12 3.11; do apt-cache show python$$bare-venv >/dev/null 2>&1 && break; done; \
	  fi; \
	  if command -v apt-get >/dev/null; then echo "  $${root}apt-get install -y python$$bare-venv" >&2; \
	  elif command -v dnf >/dev/null; then echo "  $${root}dnf install -y python3.12" >&2; \
	  elif command -v brew >/dev/null; then echo "  brew install python@3.12" >&2; \
	  else echo "  install Python from https://www.python.org/downloads/" >&2; fi; \
	  exit 1; }
