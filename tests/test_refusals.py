"""Bad operands: an error that names the operation, the shapes and the likely fix, and nothing written to out; sgd."""

import numpy as np
import pytest

import nnc

A34 = np.random.default_rng(0).standard_normal((3, 4))


def zeros(*shape):
    return np.zeros(shape)


@pytest.mark.parametrize("wrap", [np.asarray, nnc.Node])
@pytest.mark.parametrize("op", ["relu_backward", "leaky_relu_backward", "sigmoid_backward", "tanh_backward"])
def test_backwards_do_not_broadcast_a_column_and_a_row(op, wrap):
    for dA, A in (((3, 1), (4,)), ((4,), (3, 1)), ((3, 4), (4,)), ((3, 4), (3, 1)), ((1, 1), (3, 4)), ((1,), (4,))):
        with pytest.raises(ValueError) as error:
            getattr(nnc, op)(wrap(zeros(*dA)), zeros(*A))
        assert f"{op}: dA is {dA} and A is {A}, but they must have the same shape" in str(error.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: nnc.linear(zeros(200, 784), zeros(64, 784), zeros(200, 1)),
            "linear: W is (200, 784) and X is (64, 784); W's columns must equal X's rows. Did you mean X.T?",
        ),
        (lambda: nnc.linear(zeros(784, 200), zeros(784, 64), zeros(200, 1)), "Did you mean W.T?"),
        (lambda: nnc.linear(zeros(3, 4), zeros(4, 3), zeros(3)), "linear: b is (3,), 1-D, but must be (3, 1)"),
        (lambda: nnc.linear(zeros(3, 4), zeros(4, 5), zeros(3)), "b.reshape(-1, 1)"),
        (lambda: nnc.linear(zeros(3, 4), zeros(4, 5), zeros(1, 3)), "W is (3, 4); b must be (3, 1). Did you mean b.T"),
        (lambda: nnc.linear(zeros(3, 4), zeros(4, 5), zeros(2, 1)), "b must be (3, 1)"),
        (lambda: nnc.linear(zeros(3, 4), zeros(4, 5), zeros(1, 1)), "b must be (3, 1)"),
        (lambda: nnc.linear(zeros(3, 4), zeros(4, 5), zeros(3, 5)), "b must be (3, 1)"),
        (lambda: nnc.linear(zeros(3, 4), zeros(4, 5), 0.0), "b must be (3, 1)"),
        (lambda: nnc.linear(zeros(3, 4), zeros(4), zeros(3, 1)), "X is (4,), 1-D, but must be a matrix, 2-D. One"),
        (lambda: nnc.linear(zeros(4), zeros(4, 5), zeros(3, 1)), "linear: W is (4,), 1-D"),
        (lambda: nnc.add_bias(zeros(3, 3), zeros(3)), "add_bias: b is (3,), 1-D"),
        (lambda: nnc.add_bias(zeros(3, 4), zeros(1, 3)), "Did you mean b.T?"),
        (lambda: nnc.add_bias(zeros(3), zeros(3, 1)), "add_bias: Z is (3,), 1-D"),
        (lambda: nnc.add_bias_backward(zeros(3)), "add_bias_backward: dZ is (3,), 1-D"),
        (lambda: nnc.matmul(zeros(3, 4), zeros(5, 4)), "A is (3, 4) and B is (5, 4); A's columns must equal B's rows"),
        (lambda: nnc.matmul(zeros(3, 4), zeros(5, 4)), "Did you mean B.T?"),
        (lambda: nnc.matmul(zeros(3), zeros(4)), "A's length must equal B's length"),
        (lambda: nnc.matmul(zeros(3, 4), 2.0), "matmul: B is a single number"),
        (lambda: nnc.matmul_backward(zeros(3, 5), zeros(3, 4), zeros(5, 4)), "matmul_backward: A is (3, 4) and B is"),
        (lambda: nnc.matmul_backward(zeros(5, 3), zeros(3, 4), zeros(4, 5)), "so dC must be (3, 5)"),
        (lambda: nnc.matmul_backward(1.0, zeros(3, 4), zeros(4, 5)), "dC is ()"),
        (lambda: nnc.matmul_backward(zeros(2, 3, 5), zeros(2, 3, 4), zeros(4, 5)), "A is (2, 3, 4), but must be 1-D"),
        (lambda: nnc.linear_backward(zeros(5, 3), zeros(3, 4), zeros(4, 5)), "dZ must be (3, 5). Did you mean dZ.T?"),
        (lambda: nnc.linear_backward(zeros(3, 5), zeros(3, 4), zeros(5, 4)), "W is (3, 4) and X is (5, 4)"),
        (lambda: nnc.linear_backward(zeros(3), zeros(3, 4), zeros(4, 5)), "linear_backward: dZ is (3,), 1-D"),
        (lambda: nnc.relu_backward(zeros(3, 4), zeros(4, 3)), "relu_backward: dA is (3, 4) and A is (4, 3)"),
        (lambda: nnc.tanh_backward(zeros(3, 4), zeros(4, 3)), "tanh_backward: dA is (3, 4) and A is (4, 3)"),
        (lambda: nnc.sigmoid_backward(zeros(3), zeros(4)), "sigmoid_backward: dA is (3,) and A is (4,)"),
        (lambda: nnc.leaky_relu_backward(zeros(3), zeros(4)), "leaky_relu_backward: dA is (3,) and A is (4,)"),
        (lambda: nnc.relu_backward(zeros(4, 1), zeros(4)), "the same shape. Did you mean dA.reshape(4)?"),
        (lambda: nnc.relu_backward([1, 2], nnc.Node(zeros(1, 2))), "the same shape. Did you mean dA.reshape(1, 2)?"),
        (lambda: nnc.tanh_backward(zeros(3, 4), zeros(3, 1)), "tanh_backward: dA is (3, 4) and A is (3, 1), but"),
        (lambda: nnc.leaky_relu(zeros(3), -0.1), "leaky_relu: slope is -0.1, but must be at least 0"),
        (lambda: nnc.leaky_relu(zeros(3), np.nan), "leaky_relu: slope is nan"),
        (lambda: nnc.leaky_relu_backward(zeros(3), zeros(3), -1), "leaky_relu_backward: slope is -1"),
        (lambda: nnc.softmax(zeros(3, 4), axis=2), "softmax: axis is 2, but Z is (3, 4)"),
        (lambda: nnc.softmax(zeros(3, 4), axis=-3), "softmax: axis is -3, but Z is (3, 4)"),
        (lambda: nnc.log_softmax(zeros(3, 4), axis=2), "log_softmax: axis is 2"),
        (lambda: nnc.softmax_backward(zeros(3, 4), zeros(3, 4), axis=2), "softmax_backward: axis is 2"),
        (lambda: nnc.softmax_backward(zeros(3, 1), zeros(3, 4)), "softmax_backward: dP is (3, 1) and P is (3, 4)"),
        (lambda: nnc.softmax(1.0), "softmax: Z is a single number"),
        (
            lambda: nnc.matmul(zeros(2, 3, 4), zeros(5, 4, 6)),
            "matmul: A is (2, 3, 4) and B is (5, 4, 6); the axes in front of the matrices, (2,), (5,), must be equal",
        ),
        (lambda: nnc.matmul(zeros(2, 3, 4), zeros(2, 5, 6)), "A is (2, 3, 4) and B is (2, 5, 6); A's columns"),
        (lambda: nnc.matmul(zeros(2, 3, 4), zeros(2, 4, 6), out=zeros(3, 6)), "out is (3, 6), but the result is (2,"),
        (
            lambda: nnc.linear(zeros(2, 3, 4), zeros(5, 4, 6), zeros(3, 1)),
            "linear: W is (2, 3, 4), X is (5, 4, 6) and b is (3, 1); the axes in front of the matrices, (2,), (5,), ()",
        ),
        (lambda: nnc.linear(zeros(3, 4), zeros(2, 4, 6), zeros(7, 3, 1)), "in front of the matrices, (), (2,), (7,)"),
        (lambda: nnc.add_bias(zeros(2, 3, 4), zeros(7, 3, 1)), "add_bias: Z is (2, 3, 4) and b is (7, 3, 1); the axes"),
        (lambda: nnc.relu_backward(zeros(2, 3, 4), zeros(5, 3, 4)), "relu_backward: dA is (2, 3, 4) and A is (5, 3,"),
        (lambda: nnc.softmax_backward(zeros(2, 3, 4), zeros(5, 3, 4)), "softmax_backward: dP is (2, 3, 4) and P is"),
        (lambda: nnc.relu(zeros(2, 3), out=zeros(4, 3)), "relu: out is (4, 3), but the result is (2, 3)"),
        (lambda: nnc.tanh(zeros(2, 3), out=(zeros(4, 3),)), "tanh: operands could not be broadcast together with"),
        (lambda: nnc.cross_entropy(zeros(3), [0]), "cross_entropy: P is (3,), but must be (n, r)"),
        (lambda: nnc.softmax_cross_entropy(zeros(3), 0), "softmax_cross_entropy: Z is (3,), but must be (n, r)"),
    ],
)
def test_shape_errors(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert message in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_bias_that_would_broadcast_silently():
    """n == r: NumPy would silently accept a 1-D b and add it along the wrong axis."""
    W, X, b = zeros(4, 4), zeros(4, 4), zeros(4)
    assert (W @ X + b).shape == (4, 4)
    for call in (lambda: nnc.linear(W, X, b), lambda: nnc.add_bias(X, b)):
        with pytest.raises(ValueError, match="1-D"):
            call()


def test_an_error_writes_nothing():
    out = np.full((3, 3), 7.0)
    for call in (
        lambda: nnc.matmul(A34, A34, out=out),
        lambda: nnc.linear(A34, A34.T, np.zeros(3), out=out),
        lambda: nnc.softmax_cross_entropy(A34, [0, 1, 2, 9], out=out[0]),
        lambda: nnc.leaky_relu(out, -1, out=out),
    ):
        with pytest.raises(ValueError):
            call()
    assert np.all(out == 7)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("matmul", lambda out: nnc.matmul(zeros(3, 4), zeros(4, 4), out=out)),
        ("linear", lambda out: nnc.linear(zeros(3, 4), zeros(4, 4), zeros(3, 1), out=out)),
        ("softmax", lambda out: nnc.softmax(zeros(3, 4), out=out)),
        ("log_softmax", lambda out: nnc.log_softmax(zeros(3, 4), axis=1, out=out)),
        ("leaky_relu", lambda out: nnc.leaky_relu(zeros(3, 4), out=out)),
    ],
)
def test_an_out_that_cannot_hold_the_result(name, call):
    for out in (np.zeros((3, 4), "i4"), np.zeros((3, 4), bool)):
        with pytest.raises(TypeError, match=f"^{name}: out is {out.dtype}, but must be of floats"):
            call(out)
        with pytest.raises(TypeError, match=f"^{name}: out is {out.dtype}, but must be of floats"):
            call((out,))
    with pytest.raises(TypeError, match=f"^{name}: out is a list, but must be an array"):
        call([[0.0] * 4] * 3)
    assert call((out := np.ones((3, 4)),)) is out


@pytest.mark.parametrize("op", [nnc.relu, nnc.sigmoid, nnc.tanh])
def test_an_activation_ufunc_names_its_operand(op):
    name = op.__name__
    for bad, dtype in ((np.ones(2, complex), "complex128"), (np.array(["a"]), "<U1"), (np.array([None]), "object")):
        with pytest.raises(TypeError, match=f"^{name}: Z is {dtype}, but must be real"):
            op(bad)
    with pytest.raises(TypeError, match=f"^{name}: out is int64, but must be of floats"):
        op(zeros(3), out=np.zeros(3, int))
    with pytest.raises(ValueError, match=f"^{name}: out is read-only"):
        op(zeros(3), out=readonly(zeros(3)))
    with pytest.raises(TypeError, match=rf"^{name}\(\) got an unexpected keyword argument 'bogus'"):
        op(1.0, bogus=1)


# ---- sgd -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", ">f8", "f2"])
@pytest.mark.parametrize("view", [np.s_[:], np.s_[::2], np.s_[::-1], np.s_[:, ::-3]], ids=str)
def test_sgd_in_place(dtype, view):
    start = np.random.default_rng(6).standard_normal((6, 7)).astype(dtype)
    whole = start.copy()
    param = whole[view]
    before = param.copy()
    grad = np.random.default_rng(7).standard_normal(param.shape)
    grad_before = grad.copy()
    assert nnc.sgd(param, grad, 0.1) is param
    np.testing.assert_allclose(param, before - 0.1 * grad, rtol=4 * np.finfo(dtype).eps, atol=4 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(grad, grad_before)
    rest = np.ones(whole.shape, bool)
    rest[view] = False
    np.testing.assert_array_equal(whole[rest], start[rest])


def test_sgd_of_overlapping_arrays():
    """The gradient may share memory with the parameter."""
    w = np.arange(6.0)
    nnc.sgd(w, w, 0.5)
    np.testing.assert_array_equal(w, np.arange(6.0) / 2)
    w = np.arange(6.0)
    nnc.sgd(w, w[::-1], 1.0)
    np.testing.assert_array_equal(w, np.arange(6.0) - np.arange(6.0)[::-1])


def readonly(x):
    x.flags.writeable = False
    return x


@pytest.mark.parametrize(
    ("param", "grad", "lr", "error", "message"),
    [
        (np.arange(3), np.ones(3), 0.1, TypeError, "param is int"),
        (np.zeros(3, bool), np.ones(3), 0.1, TypeError, "param is bool"),
        (np.zeros(3, complex), np.ones(3), 0.1, TypeError, "param is complex"),
        ([1.0, 2.0, 3.0], np.ones(3), 0.1, TypeError, "param is a list"),
        (1.0, 1.0, 0.1, TypeError, "param is a float"),
        (readonly(np.zeros(3)), np.ones(3), 0.1, ValueError, "read-only"),
        (np.zeros((3, 1)), np.ones(3), 0.1, ValueError, r"grad is \(3,\) and param is \(3, 1\)"),
        (np.zeros((3, 2)), np.ones((3, 1)), 0.1, ValueError, r"grad is \(3, 1\)"),
        (np.zeros((3, 2)), np.ones((2, 3)), 0.1, ValueError, r"grad\.T"),
        (np.zeros(3), np.ones(3, complex), 0.1, TypeError, "grad is complex"),
        (np.zeros(3), np.ones(3), np.ones(3), TypeError, "lr"),
        (np.zeros(3), np.ones(3), 1j, TypeError, "lr"),
        (np.zeros(3), np.ones(3), "0.1", TypeError, "lr"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_bad_operands_of_sgd(param, grad, lr, error, message):
    before = np.array(param)
    with pytest.raises(error, match=f"sgd: .*{message}"):
        nnc.sgd(param, grad, lr)
    np.testing.assert_array_equal(param, before)
