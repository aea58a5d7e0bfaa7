"""nnc._engine, below the public functions: dtypes, out=, overlap, reference counts, threads and processors."""

import gc
import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from engine_rows import ELEMENTWISE, OPERANDS
from fits import fit, network

from nnc import _engine as engine

F4, F8 = np.dtype("f4"), np.dtype("f8")


def operands(letters, dtype=np.float64, n=4, seed=0):
    rng = np.random.default_rng(seed)
    make = {
        "M": lambda: rng.standard_normal((n, n)).astype(dtype),
        "P": lambda: rng.dirichlet(np.ones(n), n).T.astype(dtype),
        "B": lambda: rng.standard_normal((n, 1)).astype(dtype),
        "L": lambda: rng.standard_normal(n).astype(dtype),
        "y": lambda: rng.integers(0, n, n),
    }
    return [make[letter]() for letter in letters]


def results(ufunc, *inputs, **keywords):
    """The results as a tuple, also if there is only one."""
    result = ufunc(*inputs, **keywords)
    return result if ufunc.nout > 1 else (result,)


def run(code, **environment):
    """Run a Python program in another process."""
    env = os.environ | environment
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)


def test_the_tables_list_every_ufunc():
    ufuncs = {name: ufunc for name, ufunc in vars(engine).items() if isinstance(ufunc, np.ufunc)}
    assert {name: ufunc.nin for name, ufunc in ufuncs.items()} == ELEMENTWISE | {n: len(s) for n, s in OPERANDS.items()}
    assert all(ufunc.__name__ == name and f"{name}(" in ufunc.__doc__ for name, ufunc in ufuncs.items())
    assert {name for name, ufunc in ufuncs.items() if ufunc.signature is None} == set(ELEMENTWISE)


# ---- dtypes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", "?bhilqBHILQ")
def test_integer_arrays_count_as_float64_whatever_their_width(dtype):
    Z = np.array([0, 1], dtype)
    assert engine.relu(Z).dtype == F8
    assert engine.softmax(Z).dtype == F8
    assert engine.relu_backward(Z.astype("f4"), Z).dtype == F8
    assert engine.matmul(np.ones((1, 2), "f4"), Z).dtype == F8


@pytest.mark.parametrize(
    ("first", "second", "result"),
    [
        ("f4", "f4", F4), ("f2", "f2", F4), ("f2", "f4", F4), ("f4", "f2", F4), ("f8", "f4", F8), ("f4", "f8", F8),
        ("f2", "f8", F8), ("f2", "i1", F8), ("f4", "?", F8), ("f8", "f8", F8),
    ],
)  # fmt: skip
def test_arrays_promote_together(first, second, result):
    a, b = np.ones((2, 2), first), np.ones((2, 2), second)
    assert engine.tanh_backward(a, b).dtype == engine.matmul(a, b).dtype == result
    assert engine.softmax_backward(a, b, axis=0).dtype == result
    assert engine.linear(a, b, np.ones((2, 1), first)).dtype == result


@pytest.mark.parametrize("number", [2, 2.5, -1])
def test_a_python_number_never_widens(number):
    Z = np.ones(3, "f4")
    assert engine.relu_backward(Z, number).dtype == engine.relu_backward(number, Z).dtype == F4
    assert engine.leaky_relu(Z, number).dtype == engine.sgd(Z, Z, number).dtype == F4
    assert engine.relu_backward(Z.astype("f2"), number).dtype == F4
    assert engine.relu_backward(Z.astype("i1"), number).dtype == F8
    assert engine.relu(number).dtype == engine.relu_backward(number, number).dtype == F8


@pytest.mark.parametrize("scalar", [0.25, 1, np.float64(0.25), np.float16(0.25), np.array(0.25), np.int64(1), True])
def test_a_scalar_operand_never_widens(scalar):
    Z, y = np.ones((3, 2), "f4"), np.zeros(2, int)
    assert engine.leaky_relu(Z, scalar).dtype == engine.leaky_relu_backward(Z, Z, scalar).dtype == F4
    assert engine.sgd(Z, Z, scalar).dtype == F4
    assert engine.softmax_cross_entropy_recompute_backward(np.full(2, scalar), Z, y).dtype == F4
    assert engine.leaky_relu(Z.astype("f8"), scalar).dtype == F8


def test_a_scalar_operand_may_be_an_array():
    slope = np.array([0.5, 0.5, 2.0, -0.0, 0.0, 0.25])
    for dtype in "f4", "f8":
        Z = -np.ones(6, dtype)
        np.testing.assert_array_equal(engine.leaky_relu(Z, slope), slope * Z)
        assert np.array_equal(np.signbit(engine.leaky_relu(Z, slope)), np.signbit(slope * Z))
        np.testing.assert_array_equal(engine.sgd(Z, Z, slope), Z - slope.astype(dtype) * Z)
        wide = engine.leaky_relu(np.full((3, 20000), -1, dtype), slope[:3, None])
        np.testing.assert_array_equal(wide, np.broadcast_to(-slope[:3, None], wide.shape))


@pytest.mark.parametrize("dtype", ["c8", "c16", "O", "U1", "S1", "M8[s]", "g", "V4"])
@pytest.mark.parametrize("name", ["relu", "relu_backward", "sgd", "matmul", "softmax", "cross_entropy_targets"])
def test_other_dtypes_are_a_type_error_that_names_the_operation(name, dtype):
    if np.dtype(dtype) == F8:
        pytest.skip("long double is double here")
    ufunc = getattr(engine, name)
    bad = np.zeros((2, 2), dtype)
    with pytest.raises(TypeError, match=f"^{name}: operand 1 "):
        ufunc(bad, *[np.zeros((2, 2))] * (ufunc.nin - 1))
    if ufunc.nin > 1:
        with pytest.raises(TypeError, match=f"^{name}: operand 2 "):
            ufunc(np.zeros((2, 2)), bad, *[0.5] * (ufunc.nin - 2))


def test_a_complex_number_is_a_type_error():
    for call in (engine.relu, lambda z: engine.leaky_relu(1.0, z), lambda z: engine.relu_backward(np.ones(2, "f4"), z)):
        with pytest.raises(TypeError):
            call(1j)


def test_labels_of_a_ufunc_are_integers():
    P = np.full((3, 2), 1 / 3)
    for dtype in "bBhHiIqQ":
        assert engine.cross_entropy(P, np.array([0, 2], dtype)).dtype == F8
    with pytest.raises(TypeError, match="cross_entropy"):
        engine.cross_entropy(P, np.array([0.0, 2.0]))
    y = np.array([0, 2])
    assert engine.cross_entropy(P, y, signature=("f4", np.intp, "f4")).dtype == F4
    assert engine.cross_entropy(P, y, signature=(None, np.intp, None)).dtype == F8
    with pytest.raises(TypeError, match="cross_entropy"):
        engine.cross_entropy(P, y, signature=("f4", "f4", "f4"))


@pytest.mark.parametrize("name", ["relu", "tanh_backward", "matmul", "softmax", "leaky_relu"])
def test_dtype_and_signature_choose_the_loop(name):
    ufunc = getattr(engine, name)
    wide, narrow = [np.ones((2, 2))] * ufunc.nin, [np.ones((2, 2), "f4")] * ufunc.nin
    assert ufunc(*wide, dtype="f4").dtype == ufunc(*wide, signature=(*[None] * ufunc.nin, "f4")).dtype == F4
    assert ufunc(*narrow, dtype="f8").dtype == ufunc(*narrow, signature="d" * ufunc.nin + "->d").dtype == F8
    assert ufunc(*wide).dtype == F8 and ufunc(*narrow).dtype == F4  # also after the calls above
    for dtype in "f2", "i8", "c16", "O":
        with pytest.raises(TypeError, match=name):
            ufunc(*wide, dtype=dtype)
    with pytest.raises(TypeError, match=name):
        ufunc(*wide, signature=("f4", *[None] * (ufunc.nin - 1), "f8"))


def test_out_of_another_dtype():
    Z = np.linspace(-2, 2, 12).reshape(3, 4)
    out = np.full((3, 4), np.nan, "f4")
    assert engine.tanh(Z, out=out) is out
    np.testing.assert_array_equal(out, engine.tanh(Z).astype("f4"))
    assert engine.softmax(Z, out=out) is out
    np.testing.assert_array_equal(out, engine.softmax(Z).astype("f4"))
    with pytest.raises(TypeError, match="relu"):
        engine.relu(Z, out=np.zeros((3, 4), int))
    frozen = np.zeros((3, 4))
    frozen.flags.writeable = False
    for name in "relu", "softmax":
        with pytest.raises(ValueError, match="read-only"):
            getattr(engine, name)(Z, out=frozen)
    assert not frozen.any()


# ---- memory layout ---------------------------------------------------------------------------------------------------


def unusual(a):
    """The same numbers in other memory layouts."""
    yield a[::-1].copy()[::-1]
    yield np.asfortranarray(a)
    yield np.repeat(a, 3, axis=-1)[..., ::3]
    yield a.astype(a.dtype.newbyteorder())
    yield np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape)  # misaligned and read-only
    yield np.rec.fromarrays([a, a > 0], names="a,b")["a"]  # strides of 5 or 9 bytes


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", [*ELEMENTWISE, *OPERANDS])
def test_strides_alignment_byte_order(name, dtype):
    ufunc = getattr(engine, name)
    inputs = operands(OPERANDS.get(name, "P" * ufunc.nin), dtype)
    expected = results(ufunc, *inputs)
    for views in itertools.product(*(list(unusual(a)) for a in inputs[:2])):
        for got, right in zip(results(ufunc, *views, *inputs[2:]), expected, strict=True):
            assert got.dtype == right.dtype
            np.testing.assert_allclose(got, right, rtol=16 * np.finfo(dtype).eps, atol=0)
    for outs in zip(*map(unusual, expected), strict=True):
        if outs[0].flags.writeable:
            for out in outs:
                out[...] = np.nan
            for got, out, right in zip(results(ufunc, *inputs, out=outs), outs, expected, strict=True):
                assert got is out
                np.testing.assert_allclose(out, right, rtol=16 * np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("name", [*ELEMENTWISE, *OPERANDS])
def test_out_may_overlap_the_inputs(name):
    ufunc = getattr(engine, name)
    letters = OPERANDS.get(name, "P" * ufunc.nin)
    *others, expected = results(ufunc, *operands(letters))

    def check(inputs, out, where):
        got = results(ufunc, *inputs, out=(*[None] * len(others), out))
        for mine, right in zip(got, [*others, expected], strict=True):
            np.testing.assert_allclose(mine, right, rtol=1e-14, err_msg=where)

    for position, letter in enumerate(letters):
        if letter == "y" or operands(letter)[0].shape != expected.shape:
            continue
        # the same memory, transposed, reversed; then a part of it, in a larger buffer
        for view in (lambda a: a, lambda a: a.T, lambda a: a[::-1], lambda a: a[..., ::-1]):
            inputs = operands(letters)
            out = view(inputs[position])
            check(inputs, out, f"operand {position}")
        for shift in 1, 3, 5:
            buffer = np.zeros(64)
            inputs = operands(letters)
            shifted = buffer[shift : shift + expected.size].reshape(expected.shape)
            shifted[...] = inputs[position]
            inputs[position] = shifted
            out = buffer[: expected.size].reshape(expected.shape)
            check(inputs, out, f"shift {shift}")


def test_batch_axes_broadcast():
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((3, 1, 4, 5)), rng.standard_normal((2, 5, 6))
    np.testing.assert_allclose(engine.matmul(A, B), A @ B, rtol=1e-13)
    np.testing.assert_allclose(engine.matmul(A, B[0, :, 0]), A @ B[0, :, 0], rtol=1e-13)
    np.testing.assert_allclose(engine.matmul(B[0, :, 0], B), B[0, :, 0] @ B, rtol=1e-13)
    assert engine.matmul(B[0, :, 0], B[0, :, 0]).shape == ()
    P = engine.softmax(A, axis=2)
    np.testing.assert_allclose(P, np.exp(A) / np.exp(A).sum(2, keepdims=True), rtol=1e-14)
    y = rng.integers(0, 4, (2, 5))
    L = engine.cross_entropy(P, y)
    assert L.shape == (3, 2, 5)
    np.testing.assert_allclose(L[1, 0], engine.cross_entropy(P[1, 0], y[0]), rtol=1e-15)


@pytest.mark.parametrize("n, m, r", [(0, 2, 3), (2, 0, 3), (2, 3, 0), (0, 0, 0), (1, 1, 1)])
def test_empty_and_single_dimensions(n, m, r):
    A, B, b = np.ones((n, m)), np.ones((m, r)), np.full((n, 1), 2.0)
    np.testing.assert_array_equal(engine.matmul(A, B), np.full((n, r), float(m)))
    np.testing.assert_array_equal(engine.linear(A, B, b), np.full((n, r), m + 2.0))
    np.testing.assert_array_equal(engine.add_bias_backward(np.ones((n, r))), np.full((n, 1), float(r)))
    assert engine.relu(A).shape == A.shape
    if n:
        assert engine.softmax(np.ones((n, r)), axis=0).shape == (n, r)
        assert engine.softmax_cross_entropy(np.ones((n, r)), np.zeros(r, int)).shape == (r,)


def test_shapes_that_do_not_fit_name_the_operation():
    W, X = np.ones((3, 4)), np.ones((5, 2))
    for call in (lambda: engine.matmul(W, X), lambda: engine.linear(W, X, np.ones((3, 1)))):
        with pytest.raises(ValueError, match="matmul|linear"):
            call()
    with pytest.raises(ValueError, match="linear"):
        engine.linear(W, np.ones((4, 2)), np.ones((3, 2)))  # b is (n, 1), never (n, r)
    with pytest.raises(ValueError, match="add_bias"):
        engine.add_bias(W, np.ones(3))


def test_where_leaves_the_other_elements_of_out():
    Z, out = np.array([-1.0, 2.0, -3.0, 4.0]), np.full(4, 7.0)
    engine.relu(Z, out=out, where=np.array([True, True, False, False]))
    np.testing.assert_array_equal(out, [0, 2, 7, 7])


@pytest.mark.parametrize("name", ["relu_backward", "sigmoid_backward", "tanh_backward", "leaky_relu"])
def test_reduce_and_accumulate_go_element_by_element(name):
    ufunc = getattr(engine, name)
    a = np.random.default_rng(0).uniform(0.1, 0.9, 40)
    steps = list(itertools.accumulate(a, ufunc))
    np.testing.assert_allclose(ufunc.accumulate(a), steps, rtol=1e-14)
    np.testing.assert_allclose(ufunc.reduce(a), steps[-1], rtol=1e-14)
    rows = np.stack([a, a[::-1]])
    np.testing.assert_allclose(ufunc.reduce(rows, axis=0), ufunc(rows[0], rows[1]), rtol=1e-14)
    np.testing.assert_allclose(ufunc.outer(a, a), ufunc(a[:, None], a[None, :]), rtol=1e-14)


def test_a_bad_label_makes_only_its_example_nan():
    Z = np.random.default_rng(0).standard_normal((3, 6))
    good = np.array([0, 1, 2, 0, 1, 2])
    for bad in (-1, 3, 2**62, -(2**63)):
        y = good.copy()
        y[2] = bad
        for name in "cross_entropy", "softmax_cross_entropy":
            P = engine.softmax(Z, axis=0)
            with np.errstate(all="ignore"):
                L = getattr(engine, name)(P, y)
                dZ = getattr(engine, name + "_backward")(np.ones(6), P, y)
            assert np.isnan(L[2]) and np.isnan(dZ[:, 2]).all()
            keep = np.arange(6) != 2
            np.testing.assert_array_equal(L[keep], getattr(engine, name)(P, good)[keep])
            np.testing.assert_array_equal(
                dZ[:, keep], getattr(engine, name + "_backward")(np.ones(6), P, good)[:, keep]
            )


def test_an_overflow_warns_and_a_quiet_nan_does_not():
    with pytest.warns(RuntimeWarning, match="overflow"):
        engine.exp(np.array([1e4]))
    with np.errstate(all="raise"):
        for name in ELEMENTWISE:
            ufunc = getattr(engine, name)
            assert np.isnan(ufunc(*[np.full(5, np.nan)] * ufunc.nin)).all()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 16, 33])
def test_ordinary_numbers_raise_no_warning(n, dtype):
    with np.errstate(all="raise"):
        for name in ELEMENTWISE | OPERANDS:
            ufunc = getattr(engine, name)
            for result in results(ufunc, *operands(OPERANDS.get(name, "P" * ufunc.nin), dtype, n)):
                assert np.isfinite(result).all(), name


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux")
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="AddressSanitizer needs memory itself")
def test_no_memory_is_a_memory_error():
    """An output with gaps in rows and columns is computed in a temporary of 32 MB, which cannot be allocated."""
    program = """
import resource
import numpy as np
from nnc import _engine as engine
A, B, out = np.ones((2000, 2)), np.ones((2, 2000)), np.zeros((4000, 4000))[::2, ::2]
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**22, used + 2**22))
try:
    engine.matmul(A, B, out=out)
except MemoryError as error:
    print(error, not out.any())
"""
    result = run(program, NNC_NUM_THREADS="1")
    assert result.stdout.startswith("matmul: ") and result.stdout.endswith("True\n"), result


# ---- threads, imports, leaks -----------------------------------------------------------------------------------------


def test_threads():
    before, most = engine.get_num_threads(), engine.cpu_info()["max_threads"]
    try:
        for n in (1, 2, most, most + 1, 2**40, 2**80):
            engine.set_num_threads(n)
            assert engine.get_num_threads() == min(n, most)
        for n in (0, -1, -(2**80)):
            with pytest.raises(ValueError, match="set_num_threads"):
                engine.set_num_threads(n)
        for n in ("2", 2.0, None):
            with pytest.raises(TypeError):
                engine.set_num_threads(n)
    finally:
        engine.set_num_threads(before)


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "2 ", "99999999999999999999x"])
def test_an_impossible_number_of_threads_is_an_import_error(value):
    result = run("import nnc._engine", NNC_NUM_THREADS=value)
    assert result.returncode == 1 and "ImportError: NNC_NUM_THREADS is" in result.stderr


def test_number_of_threads_from_the_environment():
    program = "from nnc import _engine as e; i = e.cpu_info(); print(e.get_num_threads(), i['max_threads'])"
    for value, threads in (("1", 1), ("", None), ("999999", -1)):
        got, most = map(int, run(program, NNC_NUM_THREADS=value).stdout.split())
        assert threads is None or got == (most if threads < 0 else threads)


def test_a_second_import_in_the_same_interpreter():
    program = """
import sys, numpy as np
from nnc import _engine as first
module = sys.modules.pop("nnc._engine")
import importlib
second = importlib.import_module("nnc._engine")
assert second is not first and second.Fit is not first.Fit
for engine in first, second:
    assert engine.relu(np.array([-1, 2.0])).tolist() == [0, 2]
"""
    result = run(program)
    assert result.returncode == 0, result.stderr


def test_a_subinterpreter_fails_cleanly_or_works():
    program = """
from nnc import _engine
code = '''
try:
    from nnc import _engine
    import numpy as np
    assert _engine.relu(np.array([-1, 2.0])).tolist() == [0, 2]
    print("works")
except ImportError as error:
    print("refused")
'''
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
i = interpreters.create()
print(interpreters.run_string(i, code) or "")
interpreters.destroy(i)
print(_engine.relu(2.0))
"""
    result = run(program)
    assert result.returncode == 0, result.stderr
    assert "works" in result.stdout or "refused" in result.stdout
    assert "2.0" in result.stdout


# np.ones is not called while references are counted: NumPy 2.4 itself loses one to the default dtype in each call.
TWO, TWO_ROWS, THREE = np.ones(2), np.ones((2, 3)), np.ones(3)
X_OF_3, WEIGHTS_OF_3 = np.ones((3, 4)), [np.ones((3, 4)), np.ones((3, 4))]
FAILING = {
    "dtype": lambda: engine.relu(np.ones(2, complex)),
    "mixed": lambda: engine.relu_backward(TWO, "text"),
    "shape": lambda: engine.matmul(TWO_ROWS, TWO_ROWS),
    "signature": lambda: engine.relu(TWO, dtype="i4"),
    "out": lambda: engine.relu(TWO, out=THREE),
    "label": lambda: engine.labels("op", [0, 7], 3, 2),
    "labels' shape": lambda: engine.labels("op", np.zeros((2, 1), int), 3, 2),
    "labels' dtype": lambda: engine.labels("op", [None, 1], 3, 2),
    "labels' count": lambda: engine.labels("op", [None, 1], 3),
    "threads": lambda: engine.set_num_threads(0),
    "fit": lambda: fit(batch_size=0),
    "fit's X": lambda: fit(X=X_OF_3),
    "fit's y": lambda: fit(y=np.array([9] * 8)),
    "fit's weights": lambda: fit(weights=WEIGHTS_OF_3),
    "fit's activation": lambda: fit(activations=("relux",)),
    "fit's seed": lambda: fit(seed=-1),
    "predict": lambda: engine.predict(*list(network().values())[:-1], X_OF_3),
    "predict_plain": lambda: engine.predict_plain(*network().values(), "no such loss", (4, 5, 3), np.dtype("f4")),
}


@pytest.mark.parametrize("name", FAILING)
def test_failing_calls_leak_nothing(name):
    """6,000 failures of each kind: more than 10^5 in all."""

    def fail(times):
        for _ in range(times):
            try:
                FAILING[name]()
            except (TypeError, ValueError, OverflowError):
                continue
            raise AssertionError("no failure")

    fail(200)
    gc.collect()
    watched = [None, np.dtype("f8"), np.dtype("f4"), np.dtype(np.intp), type(np.dtype("f8")), engine.Fit, engine.relu]
    before, blocks = [sys.getrefcount(w) for w in watched], sys.getallocatedblocks()
    fail(6000)
    gc.collect()
    after = [sys.getrefcount(w) for w in watched]
    # a leak of one for each call would be 6,000; the interpreter itself keeps a few
    assert all(b - a < 100 for a, b in zip(before, after, strict=True)), (before, after)
    assert sys.getallocatedblocks() - blocks < 100
