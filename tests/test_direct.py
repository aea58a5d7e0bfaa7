"""Direct calls give the same bits and the same errors as the ufunc, on the fast path and by the fallback."""

import itertools
import threading
import time
import warnings

import numpy as np
import pytest
from test_engine import OPERANDS, operands
from test_strides import LAYOUTS, laid_out

import nnc
from nnc import _direct, _engine

DTYPES = pytest.mark.parametrize("dtype", ["f4", "f8"])
PLAIN = [name for name in OPERANDS if not getattr(_engine, name).signature.startswith("(n)")  # of matrices
         and getattr(_engine, name).nout == 1]  # fmt: skip
FALLBACK = object()


def fast_path(name):
    """The direct call with a fallback that returns FALLBACK."""
    return _engine.direct(getattr(_engine, name), _direct.UFUNCS, lambda *_, **__: FALLBACK)


def both(name):
    ufunc = getattr(_engine, name)
    return ufunc, _direct.OF[ufunc]


def rectangular(name, dtype, n, m, r):
    """Operands of three different sizes."""
    rng = np.random.default_rng(0)
    shapes = {"W": (n, m), "X": (m, r), "M": (n, r), "P": (n, r), "B": (n, 1), "L": (r,)}
    letters = {"matmul": "WX", "linear": "WXB"}.get(name, OPERANDS[name])
    return [rng.integers(0, n, r) if letter == "y" else rng.uniform(0.1, 1, shapes[letter]).astype(dtype)
            for letter in letters]  # fmt: skip


def assert_same(got, expected):
    """The same bits, except the sign of NaN: IEEE 754 does not say which of two NaNs an operation returns, and a
    compiler may order the operands of a loop's unaligned start differently."""
    assert type(got) is type(expected) and got.dtype == expected.dtype and got.shape == expected.shape
    assert got.strides == expected.strides
    got, expected = (np.where(np.isnan(x), np.array(np.nan, x.dtype), x) for x in (got, expected))
    assert got.tobytes() == expected.tobytes()


# ---- the same numbers ------------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("size", [(1, 1, 1), (2, 1, 3), (1, 5, 4), (5, 4, 1), (7, 8, 9), (10, 20, 64), (65, 33, 40)],
                         ids=str)  # fmt: skip
@pytest.mark.parametrize("name", PLAIN)
def test_plain_arrays_take_the_fast_path_to_the_same_result(name, size, dtype):
    given = rectangular(name, dtype, *size)
    ufunc = getattr(_engine, name)
    for arrays in (given, [np.asfortranarray(x) for x in given], [np.repeat(x, 2, -1)[..., ::-2] for x in given]):
        got = fast_path(name)(*arrays)
        assert got is not FALLBACK
        assert_same(got, ufunc(*arrays))
        assert got.flags.owndata and got.flags.writeable and not any(np.shares_memory(got, x) for x in arrays)


def empty_aligned_like(x, line=64):
    """An array of x's shape and dtype, at the same offset from a cache line as x."""
    raw = np.empty(x.nbytes + 2 * line, "u1")
    begin = -raw.ctypes.data % line + x.ctypes.data % line
    return raw[begin : begin + x.nbytes].view(x.dtype).reshape(x.shape)


@DTYPES
@pytest.mark.parametrize("name", PLAIN)
def test_special_numbers(name, dtype):
    """The results have the same alignment, on which the order of the operations may depend."""
    rng, ufunc = np.random.default_rng(2), getattr(_engine, name)
    special = np.array([-0.0, 0.0, 1.0, -1.5, np.inf, np.nan, -np.nan, 1e-42, 3e38], dtype)
    with np.errstate(all="ignore"):
        for size in itertools.product((1, 2, 17), repeat=3):
            for _ in range(5):
                usual = rectangular(name, dtype, *size)
                given = [rng.choice(special, x.shape) if x.dtype == dtype else x for x in usual]
                got = fast_path(name)(*given)
                assert_same(got, ufunc(*given, out=empty_aligned_like(got)))


@DTYPES
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", PLAIN)
def test_layouts(name, layout, dtype):
    ufunc, direct = both(name)
    given = rectangular(name, dtype, 4, 5, 6)
    for i in range(len(given)):
        arrays = [laid_out(x, layout) if k == i else x for k, x in enumerate(given)]
        assert (fast_path(name)(*arrays) is FALLBACK) == (layout in ("misaligned", "byte-swapped"))
        assert_same(direct(*arrays), ufunc(*arrays))


@DTYPES
@pytest.mark.parametrize("size", [(0, 0, 0), (3, 0, 2), (3, 2, 0), (0, 3, 0)], ids=str)
@pytest.mark.parametrize("name", PLAIN)
def test_empty_arrays(name, size, dtype):
    n, m, r = size
    ufunc, direct = both(name)
    arrays = rectangular(name, dtype, max(n, 1), m, r) if "y" in OPERANDS[name] else rectangular(name, dtype, n, m, r)
    assert_same(direct(*arrays), ufunc(*arrays))


class Subclass(np.ndarray):
    pass


UNUSUAL = {
    "a list": lambda x: x.tolist(), "a subclass": lambda x: x.view(Subclass), "a stack": lambda x: np.stack([x, x]),
    "int8": lambda x: np.ceil(x).astype("i1"), "float16": lambda x: x.astype("f2"), "float64": lambda x: x.astype("f8"),
}  # fmt: skip


@pytest.mark.parametrize("how", UNUSUAL)
@pytest.mark.parametrize("name", PLAIN)
def test_unusual_operands_go_to_the_fallback(name, how):
    ufunc, direct = both(name)
    given = rectangular(name, "f4", 3, 4, 5)
    reals = len(given) - OPERANDS[name].count("y")
    for i, x in enumerate(given):
        if how.startswith("float") and x.dtype.kind != "f" or how == "float64" and reals == 1:
            continue  # labels are integers, and a single float64 matrix takes the fast path
        arrays = [UNUSUAL[how](x) if k == i else x for k, x in enumerate(given)]
        assert fast_path(name)(*arrays) is FALLBACK
        assert_same(direct(*arrays), ufunc(*arrays))


@pytest.mark.parametrize("name", PLAIN)
def test_keywords_do_what_they_do_for_the_ufunc(name):
    ufunc, direct = both(name)
    given = rectangular(name, "f4", 3, 4, 5)
    out = np.empty_like(ufunc(*given))
    assert direct(*given, out=out) is out
    assert_same(out, ufunc(*given))
    if "y" not in OPERANDS[name]:
        assert_same(direct(*given, dtype="f8"), ufunc(*given, dtype="f8"))
    with pytest.raises(TypeError, match="nonsense"):
        direct(*given, nonsense=1)


def test_a_node_gives_a_node():
    W, X = nnc.Node(np.ones((2, 3))), np.ones((3, 4))
    C = _direct.matmul(W, X)
    assert isinstance(C, nnc.Node) and C.op == "matmul"


def test_vectors_and_keywords():
    a, A = np.arange(3.0), np.arange(9.0).reshape(3, 3)
    for left, right in ((a, A), (A, a), (a, a)):
        assert_same(np.asarray(_direct.matmul(left, right)), np.asarray(_engine.matmul(left, right)))
    softmax = _direct.OF[_engine.softmax]
    for axis in (0, 1):
        assert_same(softmax(A, axis=axis), _engine.softmax(A, axis=axis))
    assert_same(softmax(a), _engine.softmax(a))


# ---- the same errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLAIN)
def test_wrong_operands_raise_the_ufuncs_error(name):
    ufunc, direct = both(name)
    given = operands(OPERANDS[name])
    wrong = [given[:-1], [*given, given[0], given[0]], [np.ones((4, 4), complex), *given[1:]], [None, *given[1:]]]
    wrong += [[*given[:i], np.ones((3, 5)), *given[i + 1 :]] for i in range(len(given)) if len(given) > 1]
    wrong += [[*given[:i], np.ones(()), *given[i + 1 :]] for i in range(len(given))]
    for arrays in wrong:
        with pytest.raises((TypeError, ValueError)) as expected:
            ufunc(*arrays)
        with pytest.raises(type(expected.value)) as got:
            direct(*arrays)
        assert str(got.value) == str(expected.value)


def test_a_bias_is_one_column_with_as_many_rows():
    Z = np.ones((4, 4))
    for b in (np.ones(4), np.ones((1, 4)), np.ones((4, 4)), np.ones((1, 1)), np.ones((3, 1))):
        assert fast_path("add_bias")(Z, b) is fast_path("linear")(Z, Z, b) is FALLBACK


@pytest.mark.parametrize("name", [name for name in PLAIN if "y" in OPERANDS[name]])
@pytest.mark.parametrize("label", [-1, 4, np.iinfo(np.intp).min, np.iinfo(np.intp).max])
def test_a_label_out_of_range_makes_its_example_nan(name, label):
    """A ufunc does not check labels; the other examples have their usual results."""
    ufunc, direct = both(name)
    given = operands(OPERANDS[name])
    good = ufunc(*given)
    given[-1][2] = label
    assert fast_path(name)(*given) is FALLBACK
    assert_same(direct(*given), ufunc(*given))
    assert np.isnan(direct(*given)[..., 2]).all()
    others = [0, 1, 3]
    np.testing.assert_array_equal(direct(*given)[..., others], good[..., others])
    stacked = [np.stack([x, x]) for x in given]
    np.testing.assert_array_equal(ufunc(*stacked), [ufunc(*given)] * 2)


def test_direct_takes_only_the_engines_ufuncs():
    for other in (np.matmul, np.add):
        with pytest.raises(TypeError, match="direct: .* is not a ufunc of this engine"):
            _engine.direct(other, {})
    with pytest.raises(TypeError, match="'softmax_cross_entropy_saving'> is not a ufunc of this engine with that many"):
        _engine.direct(_engine.softmax_cross_entropy_saving, {})
    for saving in (np.modf, _engine.softmax_cross_entropy):
        with pytest.raises(TypeError, match=f"{saving.__name__}'> is not a ufunc of this engine with that many"):
            _engine.direct(_engine.softmax_cross_entropy, {}, len, saving)
    for wrong in ((len, {}), (_engine.matmul,), (_engine.matmul, len), (nnc.relu, {}), (_engine.matmul, {}, len, len)):
        with pytest.raises(TypeError):
            _engine.direct(*wrong)
    with pytest.raises(TypeError, match="by position"):
        _engine.direct(_engine.matmul, {}, otherwise=len)


# ---- a number for dL -------------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("number", [0.1, -0.0, np.inf, np.nan, 1e-300])
@pytest.mark.parametrize("name", [name for name in PLAIN if OPERANDS[name][0] == "L"])
def test_a_number_for_dl_is_like_an_array_of_it(name, number, dtype):
    for r in (1, 6, 1024):
        given = rectangular(name, dtype, 4, 5, r)
        with np.errstate(all="ignore"):
            expected = getattr(_engine, name)(np.full(r, number).astype(dtype), *given[1:])
            assert_same(fast_path(name)(number, *given[1:]), expected)
    assert fast_path(name)(number, *rectangular(name, dtype, 4, 5, 1025)[1:]) is FALLBACK
    assert fast_path(name)(1, *given[1:]) is fast_path(name)(np.float64(1), *given[1:]) is FALLBACK


def test_dl_too_large_for_float32_goes_to_the_fallback():
    _, P, y = rectangular("softmax_cross_entropy_backward", "f4", 4, 5, 6)
    assert fast_path("softmax_cross_entropy_backward")(1e39, P, y) is FALLBACK
    assert fast_path("softmax_cross_entropy_backward")(1e39, P.astype("f8"), y) is not FALLBACK
    with pytest.warns(RuntimeWarning, match="overflow"):
        nnc.softmax_cross_entropy_backward(1e39, P, y)


def test_a_number_is_not_a_matrix():
    assert fast_path("matmul")(1.0, np.ones((1, 1))) is fast_path("add_bias")(np.ones((1, 1)), 1.0) is FALLBACK


# ---- floating-point errors -------------------------------------------------------------------------------------------

ONE = np.ones((1, 1))
FLOATING_POINT_ERRORS = {
    "divide": ("cross_entropy_backward", lambda dtype: (np.ones(3, dtype), np.zeros((1, 3), dtype), np.zeros(3, int))),
    "over": ("matmul", lambda dtype: (np.full((1, 1), np.finfo(dtype).max, dtype), np.full((1, 2), 2, dtype))),
    "under": ("matmul", lambda dtype: (np.full((1, 1), np.finfo(dtype).tiny, dtype), np.full((1, 2), 0.3, dtype))),
    "invalid": ("linear", lambda dtype: (np.full((1, 1), np.inf, dtype), np.zeros((1, 2), dtype), ONE.astype(dtype))),
}


def outcome(function, arrays, **settings):
    """The result or the error of a call, its warnings, and the arguments of np.errstate's function."""
    calls = []
    before = np.seterrcall(lambda *arguments: calls.append(arguments))
    try:
        with warnings.catch_warnings(record=True) as caught, np.errstate(**settings):
            warnings.simplefilter("always")
            try:
                result = function(*arrays).tobytes()
            except FloatingPointError as error:
                result = str(error)
    finally:
        np.seterrcall(before)
    return result, [(w.category, str(w.message)) for w in caught], calls


@DTYPES
@pytest.mark.parametrize("mode", ["ignore", "warn", "raise", "call"])
@pytest.mark.parametrize("kind", FLOATING_POINT_ERRORS)
def test_errstate(kind, mode, dtype):
    name, make = FLOATING_POINT_ERRORS[kind]
    ufunc, _ = both(name)
    arrays = make(dtype)
    settings = {"all": "ignore"} | {kind: mode}
    got, expected = outcome(fast_path(name), arrays, **settings), outcome(ufunc, arrays, **settings)
    assert got == expected
    reports = {"ignore": 0, "warn": len(got[1]), "raise": isinstance(got[0], str), "call": len(got[2])}
    assert reports[mode] == (mode != "ignore")
    with np.errstate(all="raise"):  # no flag is left set
        assert fast_path(name)(*[np.ones_like(x) * (x.dtype.kind == "f") for x in arrays]) is not FALLBACK


def test_floating_point_errors_of_earlier_operations_are_not_reported():
    with np.errstate(all="ignore"):
        np.log(np.zeros(1)), np.exp(np.full(1, 1e4)), np.exp(np.full(1, -1e4)), np.sqrt(np.full(1, -1.0))
        with np.errstate(all="raise"):
            assert fast_path("matmul")(ONE, ONE) == 1


def test_a_large_product_lets_other_threads_run():
    A, ticks, done = np.ones((700, 700)), [], threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(1e-4)

    other = threading.Thread(target=tick)
    threads = nnc.get_num_threads()
    nnc.set_num_threads(1)
    other.start()
    try:
        for _ in range(20):
            start = time.perf_counter()
            assert fast_path("matmul")(A, A) is not FALLBACK
            quarter = (time.perf_counter() - start) / 4
            if any(start + quarter < t < start + 3 * quarter for t in ticks):
                return
        pytest.fail("nothing else ran during the product")
    finally:
        done.set()
        other.join()
        nnc.set_num_threads(threads)


# ---- public functions ------------------------------------------------------------------------------------------------

Y = np.array([0, 2, 1, 0])


def test_gradients_through_a_layer_and_each_loss():
    W, X, y = nnc.Node(np.ones((3, 2))), np.ones((2, 4)), Y
    Z = nnc.linear(W, X, np.ones((3, 1)))
    for loss in (nnc.softmax_cross_entropy(Z, y), nnc.cross_entropy(nnc.softmax(Z), y)):
        loss.mean().backward()
        dZ = nnc.softmax_cross_entropy_backward(1 / 4, nnc.softmax(Z.value), y)
        np.testing.assert_allclose(W.grad, dZ @ X.T, atol=1e-15)


@DTYPES
@pytest.mark.parametrize("r", [4, _engine.MANY // 2])
def test_what_a_loss_saves_for_backward_cannot_be_changed(dtype, r):
    """Few probabilities are saved; writing into a gradient does not change them."""
    Z, y = nnc.Node(np.arange(3 * r, dtype=dtype).reshape(3, r) % 5), np.arange(r) % 3
    L = nnc.softmax_cross_entropy(Z, y)
    assert_same(L.value, nnc.softmax_cross_entropy(Z.value, y))
    expected = nnc.softmax_cross_entropy_backward(0.25, nnc.softmax(Z.value), y)
    for _ in range(2):
        L.backward(0.25)
        np.testing.assert_allclose(Z.grad, expected, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).eps)
        Z.grad[...] = np.nan
    if r == 4:
        several = nnc.jacobian(L, Z)  # its gradients have one more axis
        np.testing.assert_allclose(several.sum(axis=0), 4 * expected, rtol=4 * np.finfo(dtype).eps)


def test_a_warning_names_the_loss():
    Z = nnc.Node([[np.inf], [0.0]])
    with pytest.warns(RuntimeWarning, match="invalid value encountered in softmax_cross_entropy"):
        assert np.isnan(nnc.softmax_cross_entropy(Z, np.array([0])).value).all()


def test_nodes_of_plain_arrays_do_not_go_through_numpy(monkeypatch):
    """Nodes of other arrays go through Node.__array_ufunc__."""
    W, X, b = np.ones((3, 2)), np.ones((2, 4)), np.ones((3, 1))
    through = []
    original = nnc.Node.__array_ufunc__
    monkeypatch.setattr(
        nnc.Node, "__array_ufunc__", lambda node, *args, **kw: through.append(node) or original(node, *args, **kw)
    )
    Z = nnc.linear(nnc.Node(W), X, nnc.Node(b))
    nodes = [Z, nnc.matmul(W, nnc.Node(X)), nnc.add_bias(Z, b), nnc.softmax(Z), nnc.log_softmax(Z),
             nnc.softmax_cross_entropy(Z, Y), nnc.cross_entropy(nnc.softmax(Z), Y)]  # fmt: skip
    assert not through
    assert [node.op for node in nodes] == [
        "linear", "matmul", "add_bias", "softmax", "log_softmax", "softmax_cross_entropy", "cross_entropy"
    ]  # fmt: skip
    assert Z.inputs[1] is X
    mixed = nnc.linear(nnc.Node(W), X.astype("f4"), nnc.Node(b))
    assert through and mixed.op == "linear" and mixed.dtype == np.float64
