"""Direct calls of elementwise ufuncs, and direct calls with `out=`: the same results as the ufunc."""

import copy
import gc
import weakref

import numpy as np
import pytest
from test_direct import DTYPES, FALLBACK, PLAIN, Subclass, assert_same, both, fast_path, outcome, rectangular
from test_engine import ELEMENTWISE
from test_strides import laid_out

import nnc
from nnc import _direct, _engine

WITH_SCALAR = {"leaky_relu", "leaky_relu_backward", "sgd", "scale"}  # the last operand is a number
NAMES = pytest.mark.parametrize("name", ELEMENTWISE)


def elements(name, shape, dtype, numbers=None):
    """As many arrays as the ufunc takes, and a number for a scalar operand."""
    rng = np.random.default_rng(1)
    count = ELEMENTWISE[name] - (name in WITH_SCALAR)
    arrays = [rng.choice(numbers, shape) if numbers is not None else rng.uniform(0.1, 1, shape) for _ in range(count)]
    return [x.astype(dtype) for x in arrays] + [0.25] * (name in WITH_SCALAR)


# ---- the same numbers ------------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("shape", [(1,), (1, 1), (4, 4), (2, 3, 5), (200, 64), (1, 300_000), (0,), (3, 0)], ids=str)
@NAMES
def test_plain_arrays_take_the_fast_path_to_the_same_result(name, shape, dtype):
    given = elements(name, shape, dtype)
    before = copy.deepcopy(given)
    got = fast_path(name)(*given)
    assert got is not FALLBACK
    assert_same(got, getattr(_engine, name)(*given))
    assert got.flags.owndata and got.flags.writeable and got.flags.c_contiguous
    for x, was in zip(given, before, strict=True):
        np.testing.assert_array_equal(x, was)


@DTYPES
@NAMES
def test_special_numbers(name, dtype):
    special = np.array([-0.0, 0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, -np.nan, 1e-42, 3e38], dtype)
    with np.errstate(all="ignore"):
        for shape in ((1,), (3, 5), (17, 13)):
            given = elements(name, shape, dtype, special)
            assert_same(fast_path(name)(*given), getattr(_engine, name)(*given))


@DTYPES
@pytest.mark.parametrize("layout", ["read-only", "wild strides", "transposed", "reversed", "every second", "a slice",
                                    "misaligned", "byte-swapped", "zero stride"])  # fmt: skip
@NAMES
def test_layouts(name, layout, dtype):
    ufunc, direct = both(name)
    given = elements(name, (1, 4) if layout == "wild strides" else (5, 4), dtype)
    for i in range(len(given) - (name in WITH_SCALAR)):
        arrays = [laid_out(x, layout) if k == i else x for k, x in enumerate(given)]
        assert (fast_path(name)(*arrays) is not FALLBACK) == (layout in ("read-only", "wild strides"))
        assert_same(direct(*arrays), ufunc(*arrays))


UNUSUAL = {
    "a list": lambda x: x.tolist(), "a subclass": lambda x: x.view(Subclass), "a stack": lambda x: np.stack([x, x]),
    "one row": lambda x: x[:1], "one number": lambda x: x[0, 0], "no axis": lambda x: np.array(x[0, 0]),
    "int8": lambda x: np.ceil(x).astype("i1"), "float16": lambda x: x.astype("f2"), "float64": lambda x: x.astype("f8"),
}  # fmt: skip


@pytest.mark.parametrize("how", UNUSUAL)
@NAMES
def test_unusual_operands_go_to_the_fallback(name, how):
    ufunc, direct = both(name)
    given = elements(name, (3, 4), "f4")
    reals = len(given) - (name in WITH_SCALAR)
    for i in range(reals):
        if reals == 1 and how in ("a stack", "one row", "float64"):
            continue  # as a single operand it takes the fast path
        arrays = [UNUSUAL[how](x) if k == i else x for k, x in enumerate(given)]
        assert fast_path(name)(*arrays) is FALLBACK
        assert_same(direct(*arrays), ufunc(*arrays))


@DTYPES
@pytest.mark.parametrize("name", sorted(WITH_SCALAR))
def test_scalar_operands(name, dtype):
    ufunc, direct = both(name)
    *given, _ = elements(name, (3, 4), dtype)
    for number in (0.1, -0.0, np.inf, np.nan, 1e-300):
        with np.errstate(all="ignore"):
            assert_same(fast_path(name)(*given, number), ufunc(*given, np.asarray(number, dtype)))
    each = np.arange(12, dtype=dtype).reshape(3, 4)
    assert_same(fast_path(name)(*given, each), ufunc(*given, each))
    for unusual in (1, np.float32(0.1), np.float64(0.1), np.array(0.1)):
        assert fast_path(name)(*given, unusual) is FALLBACK
        assert_same(direct(*given, unusual), ufunc(*given, unusual))
    assert (fast_path(name)(*given, 1e39) is FALLBACK) == (dtype == "f4")


def test_a_number_goes_to_the_fallback():
    assert fast_path("relu")(1.0) is fast_path("relu_backward")(np.ones(1), 1.0) is FALLBACK
    assert nnc.relu(-1.0) == 0 and nnc.relu(2) == 2


@DTYPES
@pytest.mark.parametrize("mode", ["ignore", "warn", "raise", "call"])
def test_errstate(mode, dtype):
    name, arrays = "exp", [np.array([1e4], dtype)]
    got, expected = (outcome(f, arrays, over=mode) for f in (fast_path(name), _engine.exp))
    assert got == expected
    reports = {"ignore": 0, "warn": len(got[1]), "raise": isinstance(got[0], str), "call": len(got[2])}
    assert reports[mode] == (mode != "ignore")


# ---- out -------------------------------------------------------------------------------------------------------------


def result_of(name):
    given = rectangular(name, "f4", 3, 4, 5) if name in PLAIN else elements(name, (3, 5), "f4")
    return given, getattr(_engine, name)(*given)


ALL = pytest.mark.parametrize("name", [*PLAIN, *ELEMENTWISE])


@ALL
def test_contiguous_out_is_written_directly(name):
    given, expected = result_of(name)
    memory = np.full(expected.size + 2, 99, "f4")
    for out in (np.full(expected.shape, np.nan, "f4"), memory[1:-1].reshape(expected.shape)):
        assert fast_path(name)(*given, out=out) is out
        assert_same(out, expected)
    assert memory[0] == memory[-1] == 99
    assert fast_path(name)(*given, out=out, dtype=None) is out
    assert_same(fast_path(name)(*given, out=None), expected)


@ALL
def test_any_other_out_goes_to_the_fallback(name):
    """And gives the ufunc's result or error."""
    ufunc, direct = both(name)
    given, expected = result_of(name)
    blank = np.zeros(expected.shape, "f4")
    wide = np.zeros((*expected.shape[:-1], 2 * expected.shape[-1]), "f4")
    for out in (blank.astype("f8"), np.asfortranarray(np.stack([blank, blank])[0]), wide[..., ::2],
                blank.view(Subclass), (blank,), laid_out(blank, "misaligned"), laid_out(blank, "byte-swapped"),
                blank[None].copy(), laid_out(blank, "read-only"),
                np.zeros((7, *expected.shape[1:]), "f4"), blank.tolist()):  # fmt: skip
        if type(out) is np.ndarray and out.flags.carray and out.shape == expected.shape and out.dtype == "f4":
            continue  # a transposed row is contiguous
        assert fast_path(name)(*given, out=out) is FALLBACK
        results = []
        for function in (direct, ufunc):
            try:
                results.append(np.array(function(*given, out=out)).tolist())
            except (TypeError, ValueError) as error:
                results.append((type(error), str(error)))
        if len(given) == 1 and not ufunc.signature and type(results[0]) is tuple:  # the message begins with the name
            assert results[0][0] is results[1][0] and results[0][1].startswith(f"{name}: ")
        else:
            assert results[0] == results[1]
    assert fast_path(name)(*given, out=blank, where=True) is fast_path(name)(*given, dtype="f8") is FALLBACK


@ALL
def test_out_that_overlaps_an_operand(name):
    """A generalised ufunc needs a copy; an elementwise one does not if out is the operand itself."""
    ufunc, direct = both(name)
    for i in range(len(result_of(name)[0])):
        for shift in (0, 1, -1, "apart"):
            given, expected = result_of(name)
            if not isinstance(given[i], np.ndarray) or given[i].dtype != expected.dtype:
                continue
            size = max(given[i].size, expected.size)
            memory = np.zeros(3 * size + 2, "f4")
            begin = 1 if shift == "apart" else size + 1
            x = memory[begin : begin + given[i].size].reshape(given[i].shape)
            x[...] = given[i]
            given[i] = x
            begin = begin + given[i].size if shift == "apart" else begin + shift
            out = memory[begin : begin + expected.size].reshape(expected.shape)
            is_direct = shift == "apart" or (shift == 0 and name in ELEMENTWISE)
            before = memory.copy()
            got = fast_path(name)(*given, out=out)
            assert (got is not FALLBACK) == is_direct
            memory[:] = before
            assert direct(*given, out=out) is out
            assert_same(out.copy(), expected)


def test_out_before_an_operand_with_a_negative_stride():
    """The first number of the operand is its last in memory."""
    memory = np.zeros((8, 3), "f4")
    A, out = memory[3::-1][:3], memory[:3]
    assert fast_path("matmul")(A, np.eye(3, dtype="f4"), out=out) is FALLBACK
    assert fast_path("matmul")(memory[5:2:-1], np.eye(3, dtype="f4"), out=out) is out
    assert fast_path("matmul")(memory[6:3:-1], np.eye(3, dtype="f4"), out=memory[:3]) is not FALLBACK


def test_out_that_overlaps_labels():
    y = np.zeros(6, np.intp)
    P = np.full((1, 6), 0.5)
    assert fast_path("cross_entropy")(P, y, out=y.view("f8")) is FALLBACK
    assert fast_path("cross_entropy")(P, y[:3].repeat(2), out=y.view("f8")) is not FALLBACK
    halves = np.zeros(12, np.intp).view("f4")  # out may begin in the middle of the last label
    assert fast_path("cross_entropy")(P.astype("f4"), halves[:12].view(np.intp), out=halves[11:17]) is FALLBACK
    assert fast_path("cross_entropy")(P.astype("f4"), halves[:12].view(np.intp), out=halves[12:18]) is not FALLBACK


def test_a_broadcast_out_warns_as_in_numpy():
    """NumPy warns before it writes to a result of np.broadcast_arrays, even a contiguous one."""
    A = np.ones((1, 2, 2))
    for function in (fast_path("relu"), _engine.relu):
        with pytest.warns(DeprecationWarning, match="broadcast"):
            assert function(A, out=np.broadcast_arrays(A[0].copy(), A)[0]) is not FALLBACK


def test_out_is_written_also_when_an_overflow_raises():
    A, out = np.full((1, 1), 1e308), np.zeros((1, 1))
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        fast_path("matmul")(A, A, out=out)
    assert out == np.inf


# ---- Nodes, and the garbage collector --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "sigmoid", "tanh", "exp"])
def test_nodes_of_plain_arrays_do_not_go_through_numpy(name, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("through NumPy")

    given = elements(name, (3, 4), "f8")
    monkeypatch.setattr(nnc.Node, "__array_ufunc__", fail)
    node = _direct.OF[getattr(_engine, name)](nnc.Node(given[0]), *given[1:])
    assert isinstance(node, nnc.Node) and node.op == name
    assert_same(node.value, getattr(_engine, name)(*given))
    with pytest.raises(AssertionError, match="through NumPy"):
        _direct.OF[getattr(_engine, name)](nnc.Node(given[0].T), *given[1:])


def test_out_with_a_node_is_a_type_error():
    with pytest.raises(TypeError, match="out"):
        nnc.relu(nnc.Node(np.ones((2, 2))), out=np.ones((2, 2)))
    with pytest.raises(TypeError, match="out"):
        nnc.matmul(nnc.Node(np.ones((2, 2))), np.ones((2, 2)), out=np.ones((2, 2)))


def test_a_reference_cycle_with_its_fallback_is_collected():
    class Fallback:
        def __call__(self, *operands):
            return FALLBACK

    fallback = Fallback()
    fallback.direct = _engine.direct(_engine.relu, {}, fallback)
    assert fallback.direct([1.0]) is FALLBACK
    reference = weakref.ref(fallback)
    del fallback
    gc.collect()
    assert reference() is None
