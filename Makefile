# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
WORKERS ?= 2
TORCH  := $(shell grep '^torch==' constraints.txt)

.PHONY: venv demo test sweep lint check bench clean

venv: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "lugha: creating $(VENV) from constraints.txt (a few minutes the first time)"
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"lugha needs Python 3.11 or newer, this is {v.major}.{v.minor}; try make PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "lugha: installing $(TORCH)"
	@$(BIN)/pip install --quiet --disable-pip-version-check "$(TORCH)"
	@echo "lugha: installing lugha and its tested pins"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: venv
	@$(BIN)/lugha demo

lint: venv
	@echo "lugha: ruff"; $(BIN)/ruff check .; $(BIN)/ruff format --check .
	@echo "lugha: mypy"; $(BIN)/mypy
	@echo "lugha: import-linter"; $(BIN)/lint-imports --no-logo

test: lint
	@echo "lugha: pytest"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

# Every operation of save, publish, restore and prune, where `make test` tries a part of them.
sweep: venv
	@LUGHA_SWEEP=all OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/durability/test_crash_sweep.py

check: test

clean:
	rm -rf runs build dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
