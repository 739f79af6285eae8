# What a newcomer needs, and what CI runs. Each target does its own set-up.
#   make demo   see it work            make test   run every test
#   make soak   kill it a thousand times
#   make serve  run a server           make lint   style, types, layers
#   make bench  quick benchmarks       make clean  remove what was built
#   make sanitize  the tests of lp_core under AddressSanitizer and UBSan, in a build of its own
#   make older     the tests of queries on the older line of DuckDB
#   make fuzz      bytes of a fuzzer for parser, builders and frame reader, FUZZ_SECONDS=60 for each

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(wildcard src/lp_core/*.pyx src/lp_core/*.pxd src/lp_core/*.h src/engine/*.pyx)
PYTEST_FLAGS ?=
# Most tests wait for a server most of the time.
PYTEST_WORKERS ?= 3

.PHONY: build demo test soak lint bench docs fuzz sanitize older serve clean

build: $(VENV)/.built

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Headrace needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Installed in place, so that changes of .py files take effect at once; a changed .pyx builds again.
$(VENV)/.built: $(VENV)/bin/pip pyproject.toml setup.py $(SOURCES)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[demo,test]'
	@touch $@

$(VENV)/.lint: $(VENV)/.built
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[lint]'
	@touch $@

$(VENV)/.bench: $(VENV)/.built
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

demo: build
	@$(BIN)/python examples/demo.py

serve: build
	@$(BIN)/headrace serve

test: build
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist worksteal $(PYTEST_FLAGS)

# Rounds of kills at random points: sums must add up, and of all that changes rows nothing may be lost,
# doubled or back. SOAK_ROUNDS=n for another number.
SOAK_ROUNDS ?= 1000
soak: build
	HEADRACE_SOAK_ROUNDS=$(SOAK_ROUNDS) $(BIN)/python -m pytest tests/crash/test_exactly_once.py \
	  tests/crash/test_kill_amid_everything.py

lint: $(VENV)/.lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint src
	$(BIN)/mypy
	MYPYPATH=src $(BIN)/python -m mypy.stubtest --concise --ignore-disjoint-bases \
	  --allowlist stubtest-allowlist.txt --ignore-unused-allowlist lp_core
	$(BIN)/lint-imports

# The parts of the documentation that are made from the code.
docs: build
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/generate_cli.py

bench: $(VENV)/.bench
	cd benchmarks && ../$(BIN)/asv machine --yes > /dev/null && ../$(BIN)/asv run --python=same --quick --show-stderr

# Built apart, from the same generated C; the normal build stays as it is.
SANITIZED := build/sanitize
SANITIZERS = $(foreach library,libasan.so libubsan.so libstdc++.so.6,$(shell gcc -print-file-name=$(library)))

$(SANITIZED)/.built: $(VENV)/.built $(wildcard src/lp_core/*.py)
	$(BIN)/pip install --quiet --disable-pip-version-check 'setuptools>=77' 'cython>=3.1'
	CC=gcc HEADRACE_SANITIZE=1 $(BIN)/python setup.py --quiet build --parallel 2 \
	  --build-base $(SANITIZED) --build-lib $(SANITIZED)/lib
	rm -rf $(SANITIZED)/lib/engine
	@touch $@

sanitize: $(SANITIZED)/.built
	HEADRACE_SANITIZE=1 LD_PRELOAD="$(SANITIZERS)" PYTHONPATH=$(SANITIZED)/lib PYTHONMALLOC=malloc \
	  ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:quarantine_size_mb=16 UBSAN_OPTIONS=print_stacktrace=1 \
	  $(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist worksteal $(PYTEST_FLAGS) tests/unit/lp_core tests/property tests/fuzz

# The line of DuckDB before the newest one, which pyproject.toml allows as well.
OLDER := build/older

$(OLDER)/.built: $(VENV)/.built
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade --target $(OLDER) 'duckdb>=1.5,<2'
	@touch $@

older: $(OLDER)/.built
	PYTHONPATH=$(OLDER) $(BIN)/python -c 'import duckdb; assert duckdb.__version__.startswith("1.5."), duckdb.__version__'
	PYTHONPATH=$(OLDER) $(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist worksteal $(PYTEST_FLAGS) \
	  $(foreach name,corpus escapes sandbox time_queries,tests/unit/query/test_$(name).py)

# With clang the extensions are built apart so that the fuzzer sees which of their branches an input takes, and with
# AddressSanitizer; without it the branches of the reference parser guide it.
FUZZ_SECONDS ?= 60
FUZZED := build/fuzz
CLANG := $(shell command -v clang)

$(VENV)/.fuzz: $(VENV)/.built
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[fuzz]' 'setuptools>=77' 'cython>=3.1'
	@touch $@

$(FUZZED)/.built: $(VENV)/.fuzz $(wildcard src/lp_core/*.py)
	CC=clang LDSHARED="clang -shared" HEADRACE_FUZZ=1 $(BIN)/python setup.py --quiet build --parallel 2 \
	  --build-base $(FUZZED) --build-lib $(FUZZED)/lib
	rm -rf $(FUZZED)/lib/engine
	@touch $@

fuzz: $(if $(CLANG),$(FUZZED)/.built,$(VENV)/.fuzz)
	for target in parse build frames; do \
	  $(if $(CLANG),LD_PRELOAD="$$($(BIN)/python -c 'import atheris; print(atheris.path())')/asan_with_fuzzer.so \
	    $$(clang -print-file-name=libstdc++.so.6)" PYTHONPATH=$(FUZZED)/lib PYTHONMALLOC=malloc \
	    ASAN_OPTIONS=detect_leaks=0:abort_on_error=1) \
	  $(BIN)/python -m tests.fuzz.run $$target --seconds $(FUZZ_SECONDS) --directory $(FUZZED) || exit 1; \
	done

clean:
	rm -rf $(VENV) build dist src/*.egg-info .demo
	rm -f src/lp_core/_*.c src/lp_core/*.so src/engine/_*.c src/engine/*.so
