"""Large float32 products, which use the processor's matrix unit if it has one: float32 accuracy, also at the edges of
the range. A process whose signal stack is too small for the tiles does not use the unit."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import nnc

AVAILABLE = nnc.cpu_info()["available"]
needs_a_unit = pytest.mark.skipif("amx" not in AVAILABLE, reason="needs a processor with a matrix unit")
U, TINY = np.finfo("f4").eps / 2, np.finfo("f4").smallest_subnormal
SHAPES = [(200, 784, 64), (200, 64, 784), (257, 300, 129), (96, 1100, 400)]


def run(code, **environment):
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def operands(n, k, p):
    rng = np.random.default_rng(n)
    return rng.standard_normal((n, k), "f4"), rng.standard_normal((k, p), "f4")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("transposed", ["", "A", "B", "AB"])
def test_a_sum_of_k_products_has_at_most_k_roundings(shape, transposed):
    A, B = operands(*shape)
    A, B = A.T.copy().T if "A" in transposed else A, B.T.copy().T if "B" in transposed else B
    bound = (shape[1] + 1) * U * (np.abs(A.astype("f8")) @ np.abs(B.astype("f8")))
    assert (np.abs(nnc.matmul(A, B) - A.astype("f8") @ B.astype("f8")) <= bound).all()


def test_products_of_whole_numbers_are_exact():
    A, B = (np.random.default_rng(i).integers(-2000, 2000, (256, 256)).astype("f4") for i in (0, 1))
    A[:, 4:], B[4:] = 0, 0  # so that no sum needs more than 24 digits
    np.testing.assert_array_equal(nnc.matmul(A, B), A.astype("i8") @ B.astype("i8"))


@pytest.mark.parametrize("small", [1e-25, 1e-37, 1e-44])
def test_tiny_numbers_are_not_lost(small):
    A, B = operands(256, 256, 256)
    A[3], B[:, 5], A[7, 7], B[9, 9] = A[3] * small, B[:, 5] * small, small, small
    right, size = A.astype("f8") @ B.astype("f8"), np.abs(A.astype("f8")) @ np.abs(B.astype("f8"))
    with np.errstate(under="ignore"):
        got = nnc.matmul(A, B)
    assert (np.abs(got - right) <= 258 * U * size + 256 * float(TINY)).all()
    assert np.any(got[3, 6:] != 0)


def test_an_overflow_warns_and_inf_and_nan_stay_in_their_row():
    A, B = operands(256, 256, 256)
    huge = A.copy()
    huge[100, 17] = 3e38
    with pytest.raises(FloatingPointError, match="overflow"), np.errstate(all="raise"):
        nnc.matmul(huge, np.full_like(B, 7))
    only = np.zeros_like(A)
    only[:, 0] = np.finfo("f4").max  # rounded to fewer digits, it would be infinite
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(nnc.matmul(only, np.eye(256, dtype="f4")), only)
    for special in np.inf, -np.inf, np.nan:
        A[200, 5] = special
        with np.errstate(all="raise"):
            got = nnc.matmul(A, B)
        np.testing.assert_array_equal(got[200], special * B[5])
        assert np.isfinite(np.delete(got, 200, 0)).all()


ERROR = """
import json, numpy as np, nnc
def rms_error(n, k, p):
    rng = np.random.default_rng(n)
    A, B = rng.standard_normal((n, k), "f4"), rng.standard_normal((k, p), "f4")
    return float(np.sqrt(np.mean((nnc.matmul(A, B) - A.astype("f8") @ B.astype("f8"))**2)))
print(json.dumps([rms_error(*shape) for shape in %s]))
"""


@needs_a_unit
def test_sums_are_more_accurate_than_those_of_fused_multiply_adds():
    unit, fma = (run(ERROR % SHAPES, NNC_ISA=isa) for isa in ("amx", "avx512"))
    assert all(2 * a < b for a, b in zip(unit, fma, strict=True)), (unit, fma)


TRAINING = """
import json, numpy as np, nnc
rng = np.random.default_rng(0)
X, y = rng.random((784, 448), "f4"), rng.integers(0, 10, 448)
nets = [nnc.MLP([784, 200, 100, 10], dtype=dtype, seed=3) for dtype in ("f4", "f8")]
arrays = [net.weights + net.biases for net in nets]
for single, double in zip(*arrays):
    double[...] = single
for net in nets:
    net.fit(X.astype(net.dtype), y, epochs=2, batch_size=64, lr=0.1, momentum=%s, progress=False)
print(json.dumps([float(np.abs(a - b).max()) for a, b in zip(*arrays)]))
"""


@needs_a_unit
@pytest.mark.parametrize("momentum", [0, 0.9])
def test_training_stays_as_close_to_float64_as_without_the_unit(momentum):
    unit, fma = (run(TRAINING % momentum, NNC_ISA=isa) for isa in ("amx", "avx512"))
    assert unit != fma  # else the unit was not used
    assert all(0 < a < 2 * b for a, b in zip(unit, fma, strict=True)), (unit, fma)


SIGNALS = """
import ctypes, json
class stack(ctypes.Structure):
    _fields_ = [("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]
memory = ctypes.create_string_buffer(8192)
assert ctypes.CDLL(None).sigaltstack(ctypes.byref(stack(ctypes.addressof(memory), 0, 8192)), None) == 0
import nnc
print(json.dumps(nnc.cpu_info()))
"""


@needs_a_unit
def test_the_unit_is_off_if_the_signal_stack_is_too_small_for_the_tiles():
    assert run(SIGNALS, NNC_ISA="avx512")["available"][-1] == "avx512"
