"""Any strides, alignment and byte order, read-only, empty and size-1 axes, `out` over the inputs: right results."""

import os
import subprocess
import sys

import numpy as np
import pytest
from engine_rows import WITH_BACKWARD
from error_bounds import ROWS, cast, check, copies
from hypothesis import given
from hypothesis import strategies as st

import nnc

LAYOUTS = ["plain", "transposed", "reversed", "every second", "every third backwards", "a slice", "misaligned",
           "byte-swapped", "read-only", "zero stride", "wild strides"]  # fmt: skip


def laid_out(x, layout):
    """An array equal to x with the layout; 'zero stride' repeats its first row (or element)."""
    if layout == "transposed":
        return np.ascontiguousarray(x.T).T
    if layout == "reversed":
        return np.flip(np.flip(x).copy())
    if layout in ("every second", "every third backwards"):
        step = 2 if layout == "every second" else 3
        wide = np.full([n * step + 1 for n in x.shape], np.nan, x.dtype) if x.dtype.kind == "f" else None
        if wide is None:
            wide = np.full([n * step + 1 for n in x.shape], 99, x.dtype)
        index = tuple(slice(0, n * step, step) for n in x.shape)
        view = wide[index]
        view = np.flip(view) if step == 3 else view
        view[...] = x
        return view
    if layout == "a slice":
        wide = np.full([n + 5 for n in x.shape], 77, x.dtype)
        view = wide[tuple(slice(2, n + 2) for n in x.shape)]
        view[...] = x
        return view
    if layout == "misaligned":
        view = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
        view[...] = x
        return view
    if layout == "byte-swapped":
        return x.astype(x.dtype.newbyteorder())
    if layout == "read-only":
        x = x.copy()
        x.flags.writeable = False
        return x
    if layout == "zero stride" and x.ndim and x.size:
        return np.broadcast_to(x[:1], x.shape)
    if layout == "wild strides":  # a stride along an axis of size 1 means nothing, and may be anything
        strides = [s if n > 1 else 12345677 for n, s in zip(x.shape, x.strides, strict=True)]
        return np.lib.stride_tricks.as_strided(x, x.shape, strides)
    return x


sizes = st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20)) | st.sampled_from(
    [(1, 1, 1), (0, 3, 2), (3, 0, 2), (3, 2, 0), (65, 3, 2), (2, 65, 3), (3, 2, 65), (33, 40, 70), (1, 70, 1)]
)


@pytest.mark.parametrize("row", ROWS, ids=repr)
@given(size=sizes, dtype=st.sampled_from([np.float32, np.float64]), seed=st.integers(0, 99), data=st.data())
def test_operands_of_any_layout_give_the_same_results(row, size, dtype, seed, data):
    n, m, r = size
    if n == 0 and ("softmax" in row.name or "entropy" in row.name):
        n = 1  # no classes: test_reference has that case
    operands = cast(row.operands(np.random.default_rng(seed), n, m, r), dtype)
    drawn = []
    for i, x in enumerate(operands):
        if isinstance(x, np.ndarray):
            layout = data.draw(st.sampled_from(LAYOUTS))
            if row.name == "sgd" and i == 0 and layout in ("read-only", "zero stride"):
                layout = "plain"  # written in place
            if layout == "zero stride" and x.dtype.kind == "f" and i == len(operands) - 1 and "entropy" in row.name:
                layout = "plain"  # the columns of targets have to sum to 1
            x = laid_out(x, layout)
        drawn.append(x)
    before = copies(drawn)
    in_native_order = [x.astype(x.dtype.newbyteorder("=")) if isinstance(x, np.ndarray) else x for x in drawn]
    if row.name == "sgd":
        check(row, in_native_order, dtype, lambda *_: nnc.sgd(*drawn).astype(dtype))
    elif row.name == "add_bias_backward":  # which may return its operand, in the operand's byte order
        check(row, in_native_order, dtype, lambda *_: (in_native_order[0], nnc.add_bias_backward(*drawn)[1]))
    else:
        check(row, in_native_order, dtype, lambda *_: getattr(nnc, row.name)(*drawn))
    for x, was in list(zip(drawn, before, strict=True))[row.name == "sgd" :]:
        np.testing.assert_array_equal(x, was)


# ---- out over the inputs ---------------------------------------------------------------------------------------------

N = 40
BINARY = {
    "matmul": lambda A, B, out: nnc.matmul(A, B, out=out),
    "linear": lambda A, B, out: nnc.linear(A, B, A[:, :1], out=out),
    "add_bias": lambda A, B, out: nnc.add_bias(A, B[:, :1], out=out),
}
UNARY = {
    **{name: lambda A, out, name=name: getattr(nnc, name)(A, out=out) for name in WITH_BACKWARD},
    "softmax": lambda A, out: nnc.softmax(A, out=out),
    "softmax rows": lambda A, out: nnc.softmax(A, 1, out=out),
    "log_softmax": lambda A, out: nnc.log_softmax(A, out=out),
}
OUTS = {
    "itself": lambda A: A,
    "transposed": lambda A: A.T,
    "reversed": lambda A: A[::-1],
    "columns reversed": lambda A: A[:, ::-1],
    "rotated by 180°": lambda A: A[::-1, ::-1],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 3, 16, N])
@pytest.mark.parametrize("where", OUTS)
@pytest.mark.parametrize("op", [*BINARY, *UNARY])
def test_out_may_be_an_input(op, where, n, dtype):
    rng = np.random.default_rng(5)
    A, B = rng.standard_normal((n, n)).astype(dtype), rng.standard_normal((n, n)).astype(dtype)
    function = (lambda a, b, out: UNARY[op](a, out)) if op in UNARY else BINARY[op]
    expected = function(A.copy(), B.copy(), None)
    tolerance = 8 * n * np.finfo(dtype).eps * max(1, abs(expected).max())
    for over in ("A", "B"):
        a, b = A.copy(), B.copy()
        out = OUTS[where](a if over == "A" else b)
        assert function(a, b, out) is out
        np.testing.assert_allclose(out, expected, rtol=0, atol=tolerance, err_msg=f"out over {over}")
    square = A.copy()
    np.testing.assert_allclose(
        function(square, square, OUTS[where](square)), function(A, A.copy(), None), rtol=0, atol=8 * n * tolerance
    )


@pytest.mark.parametrize("op", [*BINARY, *UNARY])
@pytest.mark.parametrize("shift", [(1, 0), (0, 1), (1, 1), (3, 2)], ids=str)
def test_out_may_overlap_an_input(op, shift):
    rng = np.random.default_rng(6)
    whole, B = rng.standard_normal((N + 3, N + 3)), rng.standard_normal((N, N))
    function = (lambda a, b, out: UNARY[op](a, out)) if op in UNARY else BINARY[op]
    di, dj = shift
    for forwards in (True, False):
        here, there = np.s_[:N, :N], np.s_[di : di + N, dj : dj + N]
        source, target = (here, there) if forwards else (there, here)
        memory = whole.copy()
        expected = function(memory[source].copy(), B, None)
        function(memory[source], B, memory[target])
        np.testing.assert_allclose(memory[target], expected, rtol=0, atol=1e-12 * N)
        rest = np.ones(memory.shape, bool)
        rest[target] = False
        np.testing.assert_array_equal(memory[rest], whole[rest])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [(1, 1, 1), (3, 0, 5), (7, 5, 9), (17, 33, 65)], ids=str)
def test_out_is_not_read(size, dtype):
    """NaN in `out` beforehand must not come through, whatever its layout, and nothing around it is written."""
    n, m, r = size
    rng = np.random.default_rng(7)
    W, X, b = (rng.standard_normal(shape).astype(dtype) for shape in ((n, m), (m, r), (n, 1)))
    for expected, op in (
        (nnc.matmul(W, X), lambda out: nnc.matmul(W, X, out=out)),
        (nnc.linear(W, X, b), lambda out: nnc.linear(W, X, b, out=out)),
        (nnc.softmax(nnc.linear(W, X, b)), lambda out: nnc.softmax(nnc.linear(W, X, b), out=out)),
    ):
        for layout in LAYOUTS[:7]:
            out = laid_out(np.full((n, r), np.nan, dtype), layout)
            around = out.base.copy() if out.base is not None and layout != "misaligned" else None
            op(out)
            np.testing.assert_allclose(out, expected, rtol=0, atol=1e-5 if dtype == np.float32 else 1e-13)
            if around is not None and layout in ("every second", "a slice"):
                out[...] = np.nan  # a write outside of out would still differ
                np.testing.assert_array_equal(out.base, around)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [24, 25, 31, 100])
@pytest.mark.parametrize("k", [9, 100, 1024, 2050])
def test_rows_of_b_that_map_to_the_same_cache_sets(n, k, dtype):
    """Such a B is packed, a tile's columns at a time. Small integers, so that any order of summation is exact."""
    rng = np.random.default_rng(n * k)
    A, wide, b = (rng.integers(-3, 4, shape).astype(dtype) for shape in ((n, k), (k, 512), (n, 1)))
    for p in (1, 7, 16, 63, 64, 65, 130, 512):
        B = wide[:, :p]
        exact = A.astype(np.int64) @ B.astype(np.int64)
        np.testing.assert_array_equal(nnc.matmul(A, B), exact)
        np.testing.assert_array_equal(nnc.linear(A, B, b), exact + b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n, k, p", [(30, 70, 100), (100, 50, 130), (150, 1000, 33), (150, 1100, 70), (301, 20, 257)])
def test_the_same_bits_for_any_alignment_of_b(n, k, p, dtype):
    """Rows of B that begin in the middle of a register are packed if they are used often enough."""
    rng = np.random.default_rng(n * k)
    A, B, b = (rng.standard_normal(shape).astype(dtype) for shape in ((n, k), (k, p), (n, 1)))
    whole = 64 // B.itemsize
    memory = np.empty(k * p + 2 * whole, dtype)
    start = -memory.ctypes.data % 64 // B.itemsize
    threads, results = nnc.get_num_threads(), set()
    for shift in range(0, whole, 3):
        here = memory[start + shift :][: k * p].reshape(k, p)
        here[...] = B
        for count in (1, 2, 3):
            nnc.set_num_threads(count)
            results.add(nnc.matmul(A, here).tobytes() + nnc.linear(A, here, b).tobytes())
    nnc.set_num_threads(threads)
    assert len(results) == 1
    exact = A.astype(np.longdouble) @ B.astype(np.longdouble)
    bound = k * np.finfo(dtype).eps * (np.abs(A).astype(float) @ np.abs(B).astype(float))
    assert (np.abs(nnc.matmul(A, here) - exact) <= bound).all()


LARGE = """
import sys, numpy as np, nnc
rng = np.random.default_rng(0)
for dtype in ("f4", "f8"):
    n, k = 700 if dtype == "f8" else 1300, 1100  # of A more than 5 MB, of B more rows than a panel
    A, wide, b = (rng.integers(-3, 4, shape).astype(dtype) for shape in ((n, k), (k, 512), (n, 1)))
    for p in (16, 67, 200):
        exact = wide[:, :p].T.astype("f8") @ A.T.astype("f8")
        for B in (wide[:, :p], np.asfortranarray(wide[:, :p])):
            for threads in (1, 2, 3):
                nnc.set_num_threads(threads)
                assert (nnc.linear(A, B, b).T == exact + b.T).all(), (dtype, p, threads)
"""


@pytest.mark.parametrize("isa", nnc.cpu_info()["available"])
def test_an_a_larger_than_the_cache_is_taken_in_blocks(isa):
    """Small integers, so that any order of summation is exact."""
    command = [sys.executable, "-c", LARGE]
    done = subprocess.run(command, env=os.environ | {"NNC_ISA": isa}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_results_larger_than_the_cache(dtype):
    """They are written by non-temporal stores, a block at a time: the same bits as for few examples."""
    n, chunk = 7, 1003
    third_level = 194  # of glibc's sysconf; Python has no name for it
    r = max(os.sysconf(third_level), 1 << 23) // (2 * n * np.dtype(dtype).itemsize) // chunk * chunk + 3 * chunk
    Z = np.random.default_rng(0).standard_normal((n, r), np.float32).astype(dtype)
    y, dL = np.arange(r) % n, np.linspace(0.5, 1, r, dtype=dtype)
    P, dZ = np.full((n, r), np.nan, dtype), np.full((n, r), np.nan, dtype)
    nnc._engine.softmax_columns(Z, out=P)
    nnc._engine.softmax_cross_entropy_recompute_backward(dL, Z, y, out=dZ)
    for i in range(0, r, chunk):
        few = slice(i, i + chunk)
        np.testing.assert_array_equal(P[:, few], nnc._engine.softmax_columns(Z[:, few]))
        expected = nnc._engine.softmax_cross_entropy_recompute_backward(dL[few], Z[:, few], y[few])
        np.testing.assert_array_equal(dZ[:, few], expected)
