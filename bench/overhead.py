"""What a call costs before it computes anything: the smallest arrays, compared with NumPy's functions."""

import os
import subprocess
import sys
import tempfile

import numpy as np

TITLE = "The cost of a call, and of the import"
UNIT, DECIMALS = "µs", 3
DTYPES = {"float32": slice(0, 1)}  # dtype: slice of the thread counts
BUDGET, ROUNDS = 0.05, 5


def value(case, seconds):
    return seconds * 1e6


def _runs(prepare):
    def runs(threads, dtype, folder, quick):
        A, B = np.random.default_rng(0).standard_normal((2, 4, 4)).astype(dtype)
        for name, call in prepare(A, B, np.ones((4, 1), dtype)).items():
            yield f"{name}, 4×4", call

    return runs


def nnc(A, B, b):
    import nnc

    return {"matmul": lambda: nnc.matmul(A, B), "add_bias": lambda: nnc.add_bias(A, b), "relu": lambda: nnc.relu(A),
            "leaky_relu": lambda: nnc.leaky_relu(A), "sigmoid": lambda: nnc.sigmoid(A), "tanh": lambda: nnc.tanh(A)}


def numpy(A, B, b):
    slope = A.dtype.type(0.01)
    return {"matmul": lambda: np.matmul(A, B), "add_bias": lambda: np.add(A, b), "relu": lambda: np.maximum(A, 0),
            "leaky_relu": lambda: np.maximum(A, np.multiply(A, slope)), "sigmoid": lambda: 1 / (1 + np.exp(-A)),
            "tanh": lambda: np.tanh(A)}


def scipy(A, B, b):
    from scipy import special

    return {"sigmoid": lambda: special.expit(A)}


def seconds_of_import():
    """Seconds of `import nnc`, the best of ten fresh interpreters, with NumPy imported already and the bytecode cached,
    as in an installed package."""
    code = "import time, numpy; t = time.perf_counter(); import nnc; print(time.perf_counter() - t)"
    with tempfile.TemporaryDirectory() as bytecode:
        env = os.environ | {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": bytecode}
        return min(float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=env).stdout)
                   for _ in range(10))


def remark():
    return f"`import nnc`, NumPy being imported: {seconds_of_import() * 1e3:.1f} ms."


RUNS = {name: _runs(prepare) for name, prepare in {"nnc": nnc, "numpy": numpy, "scipy": scipy}.items()}
