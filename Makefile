# Everything a newcomer needs: `make run` and `make test` from a bare Python 3.11+ with venv.
# uv is used when it is there, pip otherwise; both install the same pinned, hashed versions.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.installed
FULL := .venv/.installed-full
.PHONY: install full run test slow check bench peers lock clean

install: $(READY)

$(READY): requirements.lock pyproject.toml
	@if command -v uv >/dev/null 2>&1; then \
	  { [ -x $(BIN)/python ] || uv venv --quiet --python $(PYTHON) .venv; } && \
	  UV_COMPILE_BYTECODE=1 uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock && \
	  uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . ; \
	else \
	  { [ -x $(BIN)/python ] || $(PYTHON) -m venv .venv; } && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . ; \
	fi
	@touch $(READY)

# What `ray job submit` needs (the extra `cluster`) and the readers that the slow tests try.
full: $(FULL)

$(FULL): $(READY) requirements-full.lock
	@if command -v uv >/dev/null 2>&1; then \
	  UV_COMPILE_BYTECODE=1 uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-full.lock ; \
	else \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-full.lock ; \
	fi
	@touch $(FULL)

run: install
	$(BIN)/fathom sweep experiments/sweeps/flash_crash.toml --out results/flash_crash

# Files of tests go to as many processes as there are cores, four at most: each compiles kernels.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test: install
	$(PYTEST)

slow: full
	$(PYTEST) -m slow

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install
	$(BIN)/fathom bench

# What `fathom bench order_book --peers` compares with. PAMS needs an older NumPy, hence its own home.
peers: install
	$(BIN)/python -m ensurepip --upgrade >/dev/null
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "bourse>=0.4,<0.5"
	[ -x .venv-pams/bin/python ] || $(PYTHON) -m venv .venv-pams
	.venv-pams/bin/python -m pip install --quiet --disable-pip-version-check "pams==0.3.0"

LOCK := uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes --no-header --no-annotate
lock:
	$(LOCK) --output-file requirements.lock pyproject.toml
	$(LOCK) --extra cluster --extra readers --constraints requirements.lock --output-file requirements-full.lock pyproject.toml

clean:
	rm -rf .venv .venv-pams results .pytest_cache .mypy_cache .ruff_cache .hypothesis
