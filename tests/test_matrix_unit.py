"""Large products of floats, which go through a matrix unit where there is one: as right as floats can be, at the edges
of their range too, and in a process that has no memory for its tiles without it."""

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
@pytest.mark.parametrize("turned", ["", "A", "B", "AB"])
def test_a_sum_of_k_products_has_at_most_k_roundings(shape, turned):
    A, B = operands(*shape)
    A, B = A.T.copy().T if "A" in turned else A, B.T.copy().T if "B" in turned else B
    bound = (shape[1] + 1) * U * (np.abs(A.astype("f8")) @ np.abs(B.astype("f8")))
    assert (np.abs(nnc.matmul(A, B) - A.astype("f8") @ B.astype("f8")) <= bound).all()


def test_products_of_whole_numbers_are_exact():
    A, B = (np.random.default_rng(i).integers(-2000, 2000, (256, 256)).astype("f4") for i in (0, 1))
    A[:, 4:], B[4:] = 0, 0  # so that no sum needs more than 24 digits
    np.testing.assert_array_equal(nnc.matmul(A, B), A.astype("i8") @ B.astype("i8"))


@pytest.mark.parametrize("small", [1e-25, 1e-37, 1e-44])
def test_the_tiniest_numbers_count(small):
    A, B = operands(256, 256, 256)
    A[3], B[:, 5], A[7, 7], B[9, 9] = A[3] * small, B[:, 5] * small, small, small
    right, size = A.astype("f8") @ B.astype("f8"), np.abs(A.astype("f8")) @ np.abs(B.astype("f8"))
    with np.errstate(under="ignore"):
        got = nnc.matmul(A, B)
    assert (np.abs(got - right) <= 258 * U * size + 256 * float(TINY)).all()
    assert np.any(got[3, 6:] != 0)


def test_what_overflows_warns_and_what_is_not_finite_stays_where_it_is():
    A, B = operands(256, 256, 256)
    huge = A.copy()
    huge[100, 17] = 3e38
    with pytest.raises(FloatingPointError, match="overflow"), np.errstate(all="raise"):
        nnc.matmul(huge, np.full_like(B, 7))
    only = np.zeros_like(A)
    only[:, 0] = np.finfo("f4").max  # which would be infinite, were it rounded to fewer digits
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(nnc.matmul(only, np.eye(256, dtype="f4")), only)
    for odd in np.inf, -np.inf, np.nan:
        A[200, 5] = odd
        with np.errstate(all="raise"):
            got = nnc.matmul(A, B)
        np.testing.assert_array_equal(got[200], odd * B[5])
        assert np.isfinite(np.delete(got, 200, 0)).all()


ERROR = """
import json, numpy as np, nnc
def off(n, k, p):
    rng = np.random.default_rng(n)
    A, B = rng.standard_normal((n, k), "f4"), rng.standard_normal((k, p), "f4")
    return float(np.sqrt(np.mean((nnc.matmul(A, B) - A.astype("f8") @ B.astype("f8"))**2)))
print(json.dumps([off(*shape) for shape in %s]))
"""


@needs_a_unit
def test_sums_are_closer_than_those_of_multiply_adds():
    unit, chain = (run(ERROR % SHAPES, NNC_ISA=isa) for isa in ("amx", "avx512"))
    assert all(2 * a < b for a, b in zip(unit, chain, strict=True)), (unit, chain)


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
def test_training_stays_as_close_to_that_in_doubles(momentum):
    unit, chain = (run(TRAINING % momentum, NNC_ISA=isa) for isa in ("amx", "avx512"))
    assert unit != chain  # or the products were the same
    assert all(0 < a < 2 * b for a, b in zip(unit, chain, strict=True)), (unit, chain)


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
def test_no_unit_where_a_stack_for_signals_has_no_room_for_tiles():
    assert run(SIGNALS, NNC_ISA="avx512")["available"][-1] == "avx512"
