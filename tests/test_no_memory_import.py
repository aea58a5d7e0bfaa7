"""The import of the engine with each allocation failing once: an error, and no crash in the engine.

NumPy crashes if the allocation for a ufunc's loop fails (PyArrayMethod_FromSpec), four times for each ufunc. More
crashes would be the engine's; after the last crash come the engine's types and names.
"""

import os
import subprocess
import sys

import pytest

memory = pytest.importorskip("_testcapi")
if not hasattr(memory, "set_nomemory") or sys.platform == "win32":
    pytest.skip("this Python has no set_nomemory or no fork", allow_module_level=True)
if os.environ.get("LD_PRELOAD"):
    pytest.skip("a sanitizer needs memory itself", allow_module_level=True)

# A child process for each allocation, as a failed import cannot be undone. Most allocations are those of ufuncs, which
# all make the same ones: of these every 31st fails, and each of the others.
PROGRAM = """
import gc, importlib.machinery, importlib.util, os, sys
import _testcapi
import numpy as np

loader = importlib.machinery.ExtensionFileLoader("nnc._engine", sys.argv[1])
spec = importlib.util.spec_from_file_location("nnc._engine", sys.argv[1], loader=loader)

def import_without(n):
    module = importlib.util.module_from_spec(spec)
    gc.collect()
    error = None
    _testcapi.set_nomemory(n, n + 1)
    try:
        loader.exec_module(module)
    except BaseException as e:
        error = e
    _testcapi.remove_mem_hooks()
    if error is None:
        return 0 if module.relu(np.array([-1.0, 2.0])).tolist() == [0.0, 2.0] else 3
    # PyType_FromModuleAndSpec of Python 3.11 sets no exception
    known = isinstance(error, MemoryError) or "without setting an exception" in str(error)
    return 1 if known else 2

def result(n):
    pid = os.fork()
    if pid == 0:
        sys.exit(import_without(n))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

gc.freeze()
count = 1 << 15
while count > 1 and result(count // 2) == 0:
    count //= 2
low, high = count // 2, count  # an allocation after `low` fails, none after `high`
while high - low > 16:
    middle = (low + high) // 2
    low, high = (low, middle) if result(middle) == 0 else (middle, high)
chosen = [*range(40), *range(40, high - 160, 31), *range(max(40, high - 160), high)]
found = {n: result(n) for n in chosen}
after = max([n for n, code in found.items() if code < 0], default=0)
codes = [code for n, code in found.items() if n > after]
crashes = sum(found[n] < 0 for n in [*range(40), *range(high - 160, high)])
print(crashes, len(codes), codes.count(1), *sorted(set(codes)))
"""


def test_a_failing_allocation_in_the_import_is_an_error():
    from nnc import _engine

    run = subprocess.run([sys.executable, "-c", PROGRAM, _engine.__file__], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    crashes, count, errors, *codes = map(int, run.stdout.split())
    assert crashes <= 12, f"{crashes} crashes: more than NumPy's four for each universal function"
    assert count >= 60 and errors >= 40 and set(codes) <= {0, 1}, run.stdout
