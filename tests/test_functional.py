"""The primitives of nnc: docstrings, dtypes, stacks, out and dtype, operands that define __array_ufunc__."""

import copy
import doctest
import inspect
import pickle

import numpy as np
import pytest
from engine_rows import ELEMENTWISE_LOSSES, WITH_BACKWARD
from error_bounds import ROWS, cast, copies

import nnc
from nnc import _engine, functional, init
from nnc import reference as ref

rng = np.random.default_rng(0)
A34 = rng.standard_normal((3, 4))
BARE = [name for name in functional.__all__ if isinstance(getattr(functional, name), np.ufunc)]


# ---- docs and names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [functional, init], ids=lambda m: m.__name__)
def test_examples_in_the_docs(module):
    results = doctest.testmod(module, extraglobs={"nnc": nnc, "np": np})
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.parametrize("name", BARE)
def test_examples_in_the_docs_of_ufuncs(name):
    example = doctest.DocTestParser().get_doctest(getattr(nnc, name).__doc__, {"nnc": nnc}, name, None, None)
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0


@pytest.mark.parametrize("name", functional.__all__)
def test_every_primitive_is_documented(name):
    doc = getattr(nnc, name).__doc__
    for part in ("Parameters\n", "Returns\n", ">>> "):
        assert part in doc, f"{name}'s docstring lacks {part!r}"


def test_every_public_name_exists():
    assert len(set(nnc.__all__)) == len(nnc.__all__)
    for name in nnc.__all__:
        assert hasattr(nnc, name), name


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("matmul", "(n?,k),(k,p?)->(n?,p?)"),
        ("linear", "(n,m),(m,r),(n,1)->(n,r)"),
        ("add_bias", "(n,r),(n,1)->(n,r)"),
        ("softmax", "(n)->(n)"),
        ("log_softmax", "(n)->(n)"),
        *[(name, None) for name in WITH_BACKWARD],
    ],
)
def test_the_engine_has_real_ufuncs(name, signature):
    ufunc = getattr(_engine, name)
    assert isinstance(ufunc, np.ufunc)
    assert ufunc.__name__ == name
    assert ufunc.signature == signature


@pytest.mark.parametrize("name", BARE)
def test_elementwise_functions_behave_as_ufuncs(name):
    """They call the engine directly, and otherwise behave as the ufunc."""
    called, ufunc = getattr(nnc, name), getattr(_engine, name)
    assert isinstance(called, np.ufunc) and repr(called) == repr(ufunc) == f"<ufunc '{name}'>"
    assert called == ufunc and ufunc == called and called != np.sin and {called: 1}[ufunc] == {ufunc: 1}[called]
    assert called.__name__ == name and "array_like" in called.__doc__ and ufunc.__doc__.startswith(name)
    assert (called.nin, called.nout, called.types, called.signature) == (1, 1, ufunc.types, None)
    assert copy.copy(called) is copy.deepcopy(called) is pickle.loads(pickle.dumps(called)) is called
    Z = np.array([-1.0, 2.0])
    called.at(Z, [0])
    np.testing.assert_array_equal(Z, [ufunc(-1.0), 2])
    np.testing.assert_array_equal(called(Z, where=[False, True], out=Z.copy()), [Z[0], ufunc(2.0)])
    with pytest.raises(AttributeError, match="'numpy.ufunc' object has no attribute 'nonsense'"):
        called.nonsense  # noqa: B018


# ---- dtypes ----------------------------------------------------------------------------------------------------------


def results(row, operands):
    got = getattr(nnc, row.name)(*operands)
    return got if isinstance(got, tuple) else (got,)


def of_dtypes(row, dtypes):
    """Operands of the row, its float arrays in the given dtypes in turn; whole numbers in 0 .. 1 for integer dtypes."""
    operands = row.operands(np.random.default_rng(1), 3, 4, 5)
    made, k = [], 0
    for x in operands:
        if isinstance(x, np.ndarray) and x.dtype.kind == "f":
            dtype = np.dtype(dtypes[k % len(dtypes)])
            x = (x if dtype.kind == "f" else np.arange(x.size).reshape(x.shape) % 2).astype(dtype)
            k += 1
        made.append(x)
    return made, k


LOSSES = ("cross_entropy", *ELEMENTWISE_LOSSES)  # whose targets never widen the result
PLAIN = [row for row in ROWS if row.name != "sgd" and not any(loss in row.name for loss in LOSSES)]


@pytest.mark.parametrize("row", PLAIN, ids=repr)
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["f4"], "f4"),
        (["f8"], "f8"),
        (["f2"], "f4"),
        (["f2", "f4"], "f4"),
        (["f4", "f8"], "f8"),
        (["f2", "f8"], "f8"),
        (["?"], "f8"),
        (["i1"], "f8"),
        (["u1"], "f8"),
        (["i2"], "f8"),
        (["u2"], "f8"),
        (["i4"], "f8"),
        (["u8"], "f8"),
        (["f4", "i1"], "f8"),
        (["i1", "f4"], "f8"),
        (["f4", "?"], "f8"),
        (["f2", "u1"], "f8"),
    ],
    ids=str,
)
def test_dtype_of_results(row, given, expected):
    operands, count = of_dtypes(row, given)
    if count < len(given):
        pytest.skip("has fewer operands")
    if row.name == "add_bias_backward":
        assert nnc.add_bias_backward(*operands)[1].dtype == expected
        return
    got = results(row, operands)
    wide = np.result_type(*(x.dtype for x in got))
    assert wide == expected if len(given) > 1 and len(got) > 1 else {x.dtype for x in got} == {np.dtype(expected)}
    exact = [x.astype(expected) if isinstance(x, np.ndarray) else x for x in operands]
    for a, b in zip(got, results(row, exact), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5 if "f4" in (expected, a.dtype.str[1:]) else 1e-12, atol=1e-6)


@pytest.mark.parametrize("bad", [np.complex128, np.complex64, object, "U3", "M8[s]", np.longdouble])
@pytest.mark.parametrize("row", [row for row in ROWS if row.name != "sgd"], ids=repr)
def test_other_dtypes_are_a_type_error_that_names_the_operation(row, bad):
    """For each float operand."""
    if bad is np.longdouble and np.finfo(np.longdouble).eps == np.finfo(np.float64).eps:
        pytest.skip("long double is double here")
    operands = row.operands(np.random.default_rng(1), 3, 4, 5)
    for i, x in enumerate(operands):
        if isinstance(x, np.ndarray) and x.dtype.kind == "f":
            changed = list(operands)
            changed[i] = np.zeros(x.shape, bad)
            with pytest.raises(TypeError, match=row.name):
                getattr(nnc, row.name)(*changed)


@pytest.mark.parametrize("number", [0.1, 1, np.float64(0.1), np.float32(0.1), np.int64(1), np.array(0.1), True])
def test_options_never_widen(number):
    Z = A34.astype(np.float32)
    P, y = nnc.softmax(Z), np.array([0, 1, 2, 0])
    assert nnc.leaky_relu(Z, number).dtype == np.float32
    assert nnc.leaky_relu_backward(Z, Z, number).dtype == np.float32
    for op in (nnc.cross_entropy_backward, nnc.softmax_cross_entropy_backward):
        assert op(number, P, y).dtype == np.float32
        assert op(number, P, nnc.one_hot(y, 3, np.float32)).dtype == np.float32
        assert op(np.full(4, number, dtype=np.float64), P, y).dtype == np.float32
    W = Z.copy()
    nnc.sgd(W, Z, number)
    assert W.dtype == np.float32
    np.testing.assert_allclose(W, Z - np.float32(number) * Z, rtol=1e-6, atol=1e-7)


def test_python_numbers_never_widen():
    Z = A34.astype(np.float32)
    for number in (1, 1.0):
        assert nnc.relu_backward(number, Z).dtype == np.float32
        assert nnc.sigmoid_backward(Z, number).dtype == np.float32
    assert nnc.matmul_backward(1.0, Z[0], Z[1])[0].dtype == np.float32


def test_numbers_and_lists():
    assert nnc.relu(-3) == 0 and nnc.relu(3.5) == 3.5
    assert nnc.relu(np.float32(3)).dtype == np.float32
    assert nnc.relu([1, -1]).dtype == np.float64
    np.testing.assert_allclose(nnc.linear([[1, 2]], [[3], [4]], [[5]]), [[16]])
    np.testing.assert_allclose(nnc.softmax([0, 0]), [0.5, 0.5])
    assert nnc.matmul([1, 2], [3, 4]) == 11


# ---- 1-D forms and stacks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_matmul_1d_and_stacks(dtype):
    g = np.random.default_rng(2)
    shapes = [((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 5)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)),
              ((2, 1, 3, 4), (6, 4, 5)), ((2, 3, 4), (4,)), ((4,), (2, 4, 5)), ((0, 3, 4), (4, 5))]  # fmt: skip
    for a, b in shapes:
        A, B = g.standard_normal(a).astype(dtype), g.standard_normal(b).astype(dtype)
        got = nnc.matmul(A, B)
        bound = 5 * np.finfo(dtype).eps * np.matmul(abs(A), abs(B))
        assert got.shape == np.matmul(A, B).shape and got.dtype == dtype
        assert np.all(abs(got - np.matmul(A.astype(float), B.astype(float))) <= bound)


def test_stacks():
    """Every generalised ufunc takes batch dimensions."""
    g = np.random.default_rng(3)
    W, X, b = g.standard_normal((2, 3, 4)), g.standard_normal((4, 5)), g.standard_normal((2, 3, 1))
    np.testing.assert_allclose(nnc.linear(W, X, b), W @ X + b, atol=1e-14)
    Z = g.standard_normal((2, 3, 5))
    np.testing.assert_allclose(nnc.add_bias(Z, b), Z + b)
    for axis in (0, 1, 2, -1, -2, -3):
        np.testing.assert_allclose(nnc.softmax(Z, axis), ref.softmax(Z, axis), atol=1e-15)
        np.testing.assert_allclose(nnc.log_softmax(Z, axis), ref.log_softmax(Z, axis), atol=1e-14)
        np.testing.assert_allclose(nnc.softmax_backward(Z, Z, axis), ref.softmax_backward(Z, Z, axis), atol=1e-13)
    y = np.array([0, 1, 2, 0, 1])
    np.testing.assert_allclose(nnc.softmax_cross_entropy(Z, y), [ref.softmax_cross_entropy(z, y) for z in Z])


def test_softmax_of_a_vector():
    z = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(nnc.softmax(z), ref.softmax(z))
    np.testing.assert_allclose(nnc.log_softmax(z), ref.log_softmax(z))
    np.testing.assert_allclose(nnc.softmax_backward(z, nnc.softmax(z)), ref.softmax_backward(z, ref.softmax(z)))


def test_results_are_new_and_in_c_order():
    for row in ROWS:
        if row.name == "sgd":
            continue
        operands = row.operands(np.random.default_rng(4), 3, 4, 5)
        operands = [np.asfortranarray(x) if isinstance(x, np.ndarray) else x for x in operands]
        for i, x in enumerate(results(row, operands)):
            if (row.name, i) != ("add_bias_backward", 0):
                assert not any(isinstance(o, np.ndarray) and np.shares_memory(x, o) for o in operands), row.name
            if row.name in ("matmul", "linear", "matmul_backward", "linear_backward"):
                assert x.flags.c_contiguous, f"{row.name}: result {i}"


# ---- out and dtype ---------------------------------------------------------------------------------------------------

Y3 = [0, 2, 1, 0]
WITH_OUT = [
    ("matmul", (A34, A34.T), (3, 3)),
    ("linear", (A34, A34.T, A34[:, :1]), (3, 3)),
    ("add_bias", (A34, A34[:, :1]), (3, 4)),
    *[(name, (A34,), (3, 4)) for name in BARE],
    ("leaky_relu", (A34, 0.2), (3, 4)),
    ("softmax", (A34,), (3, 4)),
    ("softmax", (A34, 1), (3, 4)),
    ("log_softmax", (A34,), (3, 4)),
    ("cross_entropy", (ref.softmax(A34), Y3), (4,)),
    ("cross_entropy", (ref.softmax(A34), ref.one_hot(Y3, 3)), (4,)),
    ("softmax_cross_entropy", (A34, Y3), (4,)),
    ("softmax_cross_entropy", (A34, ref.one_hot(Y3, 3)), (4,)),
]


@pytest.mark.parametrize(("name", "operands", "shape"), WITH_OUT)
def test_out(name, operands, shape):
    function = getattr(nnc, name)
    expected = function(*operands)
    out = np.full(shape, np.nan)
    assert function(*operands, out=out) is out
    np.testing.assert_array_equal(out, expected)
    backwards = np.full(shape, np.nan)[::-1]
    function(*operands, out=backwards)
    np.testing.assert_allclose(backwards, expected, rtol=1e-14)
    narrow = np.empty(shape, np.float32)
    function(*operands, out=narrow)
    np.testing.assert_allclose(narrow, expected, rtol=1e-6)


@pytest.mark.parametrize(("name", "operands", "shape"), WITH_OUT)
def test_a_wrong_out_is_an_error_and_not_written(name, operands, shape):
    function = getattr(nnc, name)
    out = np.full((7, *shape[1:]), 5.0)
    with pytest.raises(ValueError) as caught:
        function(*operands, out=out)
    if name not in BARE:
        assert name in str(caught.value) and str(out.shape) in str(caught.value)
    assert np.all(out == 5)
    out = np.full(shape, 5.0)
    out.flags.writeable = False
    with pytest.raises(ValueError):
        function(*operands, out=out)
    assert np.all(out == 5)


@pytest.mark.parametrize(("name", "operands", "shape"), WITH_OUT)
def test_dtype_option(name, operands, shape):
    function = getattr(nnc, name)
    got = function(*operands, dtype=np.float32)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, function(*operands), rtol=1e-5, atol=1e-6)
    small = cast(operands, np.float32)
    got = function(*small, dtype=np.float64)
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, function(*cast(small, np.float64)))


# ---- operands with __array_ufunc__ -----------------------------------------------------------------------------------


class Recorder:
    """Like nnc.Node, an operand that defines __array_ufunc__; it records the calls."""

    def __init__(self, value):
        self.value, self.calls = np.asarray(value), []
        self.shape, self.dtype, self.ndim = self.value.shape, self.value.dtype, self.value.ndim

    def __array__(self, *args, **kwargs):
        raise TypeError("converted to an array")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        self.calls.append((ufunc, method, inputs, kwargs))
        return getattr(ufunc, method)(*[x.value if isinstance(x, Recorder) else x for x in inputs], **kwargs)


@pytest.mark.parametrize(
    ("name", "operands", "kwargs"),
    [
        ("matmul", (A34.T, A34), {}),
        ("linear", (A34, A34.T, A34[:, :1]), {}),
        ("add_bias", (A34, A34[:, :1]), {}),
        *[(name, (A34,), {}) for name in BARE],
        ("leaky_relu", (A34, 0.2), {}),
        ("softmax", (A34,), {"axis": 0}),
        ("log_softmax", (A34,), {"axis": 0}),
        ("cross_entropy", (ref.softmax(A34), Y3), {}),
        ("softmax_cross_entropy", (A34, Y3), {}),
        ("softmax_cross_entropy", (A34, ref.one_hot(Y3, 3)), {}),
    ],
)
def test_array_ufunc_is_called_once_with_the_ufunc_of_the_primitive(name, operands, kwargs):
    recorder = Recorder(operands[0])
    got = getattr(nnc, name)(recorder, *operands[1:])
    np.testing.assert_array_equal(got, getattr(nnc, name)(*operands))
    ((ufunc, method, inputs, options),) = recorder.calls
    soft = np.ndim(operands[-1]) == 2 and "cross_entropy" in name
    assert isinstance(ufunc, np.ufunc) and ufunc.__name__ == name + "_targets" * soft
    assert (method, options) == ("__call__", kwargs)
    assert inputs[0] is recorder and len(inputs) == len(operands)


def test_options_cannot_be_nodes():
    node = Recorder(0.5)
    y = np.array(Y3)
    for call in (
        lambda: nnc.leaky_relu(A34, node),
        lambda: nnc.sgd(A34.copy(), A34, node),
        lambda: nnc.softmax_cross_entropy(A34, Recorder(y)),
        lambda: nnc.softmax_cross_entropy_backward(node, A34, y),
        lambda: nnc.cross_entropy_backward(Recorder([1.0] * 4), A34, y),
    ):
        with pytest.raises(TypeError, match="Recorder"):
            call()


def test_signatures_show_defaults():
    assert str(inspect.signature(nnc.softmax)).startswith("(Z: 'Operand', axis: 'int' = 0, *, out")
    assert inspect.signature(nnc.leaky_relu).parameters["slope"].default == 0.01


def test_inputs_are_never_written():
    for row in ROWS:
        operands = row.operands(np.random.default_rng(8), 3, 4, 5)
        before = copies(operands)
        results(row, operands)
        for x, was in list(zip(operands, before, strict=True))[row.name == "sgd" :]:
            assert np.array_equal(x, was), row.name
