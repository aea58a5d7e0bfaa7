"""Small programs such as users of autograd write, differentiated once or more, compared with JAX in float64.

Each takes a module with NumPy's functions, and a library with `grad`, `hessian` and `jacobian`.
"""

import numpy
import pytest
from operands import reset_rng, rng

import nnc

reset_rng()
X, W, B = rng.standard_normal((3, 7)), rng.standard_normal((3, 4)) / 3, rng.standard_normal((2, 5, 3))
LABELS = numpy.arange(7) % 2
P = {"W1": rng.standard_normal((4, 3)), "b1": rng.standard_normal((4, 1)), "W2": rng.standard_normal((2, 4))}


def fifth_derivative(np, m):
    def f(x):
        return np.tanh(x) * np.exp(-(x**2))

    for _ in range(5):
        f = m.grad(f)
    return f(0.3)


def grad_in_a_function(np, m):
    """The inner variable must not be confused with the outer one."""
    return m.grad(lambda x: x * m.grad(lambda y: x * y**2)(2.0 * x))(3.0)


def loss(np, p):
    Z = p["W2"] @ np.tanh(p["W1"] @ X + p["b1"])
    Z = Z - np.max(Z, axis=0)
    return -np.mean((Z - np.log(np.sum(np.exp(Z), axis=0)))[LABELS, np.arange(7)])


def parameters(np, m):
    gradient = m.grad(lambda p: loss(np, p))(P)
    return [gradient[name] for name in P]


def hessian_of_a_net(np, m):
    return m.hessian(lambda W: loss(np, {**P, "W1": W}))(P["W1"])


def example_by_example(np, m):
    def L(W, i):
        Z = P["W2"] @ np.tanh(W @ X[:, i])
        return np.log(np.sum(np.exp(Z))) - Z[LABELS[i]]

    return np.stack([m.grad(L)(P["W1"], i) for i in range(7)])


def recurrent(np, m):
    def f(Wh, Wx):
        h, total = np.zeros(3), 0.0
        for t in range(20):
            h = np.tanh(Wh @ h + Wx @ X[:, t % 7])
            total = total + np.sum(h**2) / (1 + t)
        return total

    return m.grad(f, (0, 1))(P["W1"][:3] / 2, P["W1"][1:] / 2)


def attention(np, m):
    def f(W):
        Q = np.tensordot(B, W, 1)
        S = np.einsum("bqd,bkd->bqk", Q, np.tanh(Q)) / 2
        E = np.exp(S - np.max(S, axis=-1, keepdims=True))
        return np.sum(E / np.sum(E, axis=-1, keepdims=True) @ Q**2 * np.arange(4.0))

    return m.grad(f)(W), m.hessian(f)(W)


def batch_normalisation(np, m):
    def f(p):
        Z = W.T @ B[0].T * p["s"]
        Z = (Z - np.mean(Z, axis=1, keepdims=True)) / np.sqrt(np.var(Z, axis=1, keepdims=True) + 1e-5)
        return np.sum(np.maximum(Z * p["g"], 0.0) ** 2)

    gradient = m.grad(f)({"s": numpy.full((4, 1), 2.0), "g": numpy.arange(1.0, 5.0)[:, None]})
    return gradient["s"], gradient["g"]


def gaussian_process(np, m):
    t = X[0]

    def f(theta):
        K = np.exp(theta[0] - ((t[:, None] - t) / np.exp(theta[1])) ** 2 / 2) + np.exp(theta[2]) * np.eye(7)
        L = np.linalg.cholesky(K)
        return np.sin(t) @ np.linalg.solve(K, np.sin(t)) / 2 + np.sum(np.log(np.diag(L)))

    return m.grad(f)(numpy.array([0.1, -0.2, -1.0])), m.hessian(f)(numpy.array([0.1, -0.2, -1.0]))


def kalman_filter(np, m):
    F, H = numpy.array([[1.0, 0.1], [0.0, 1.0]]), numpy.array([[1.0, 0.0]])

    def f(q):
        C, x, total = np.eye(2), np.zeros(2), 0.0
        for t in range(8):
            C, x = F @ C @ F.T + q * np.eye(2), F @ x
            S, r = H @ C @ H.T + 0.1, numpy.sin(t) - H @ x
            K = C @ H.T @ np.linalg.inv(S)
            total = total + np.log(np.linalg.det(S)) / 2 + r @ np.linalg.solve(S, r) / 2
            x, C = x + K @ r, (np.eye(2) - K @ H) @ C
        return total

    return m.grad(f)(0.3), m.grad(m.grad(f))(0.3)


def differential_equation(np, m):
    def f(k):
        y = np.array([1.0, 0.0])
        for _ in range(30):
            A = np.stack([np.stack([0 * k, 1 + 0 * k]), np.stack([-k, 0 * k - 0.1])])
            y = y + A @ (y + A @ y / 20) / 10
        return np.sum(y**2)

    return m.grad(f)(2.0), m.grad(m.grad(f))(2.0)


def gradient_steps(np, m):
    """Through three steps of gradient descent, with respect to the start and the learning rate."""

    def f(w, rate):
        for _ in range(3):
            w = w - rate * m.grad(lambda w: np.sum((W.T @ w - 1) ** 2))(w)
        return np.sum((W.T @ w - 1) ** 2)

    return m.grad(f, (0, 1))(numpy.ones(3), 0.05)


def newton_steps(np, m):
    def f(a):
        x = 1.0
        for _ in range(12):
            x = x - (x**3 - a) / (3 * x**2)
        return x

    return m.grad(f)(5.0), m.grad(m.grad(f))(5.0)


def penalty_of_a_gradient(np, m):
    return m.grad(lambda W: np.sum(m.grad(lambda x: np.sum(np.tanh(W @ x) ** 2))(X[:, 0]) ** 2))(P["W1"])


def mixture(np, m):
    def f(means):
        logs = -((B.ravel()[:, None] - means) ** 2) / 2
        greatest = np.max(logs, axis=1, keepdims=True)
        return -np.sum(greatest[:, 0] + np.log(np.sum(np.exp(logs - greatest), axis=1)))

    return m.hessian(f)(numpy.array([-1.0, 0.0, 1.0]))


def laplacian(np, m):
    return np.trace(m.hessian(lambda x: np.exp(-np.sum(x**2)) * x[0])(numpy.array([0.3, 0.4, 0.5])))


def jacobian_of_a_jacobian(np, m):
    return m.jacobian(m.jacobian(lambda x: x**3 * np.sum(x)))(numpy.array([1.5, 2.0, 0.3]))


def eigenvector(np, m):
    A, C = numpy.array([[2.0, 0.3], [0.3, 1.0]]), numpy.array([[1.0, 0.5], [0.5, 0.0]])
    return m.hessian(lambda x: np.linalg.eigh(A + C * x)[1][0, 0] ** 2)(0.2)


def least_squares(np, m):
    return m.grad(lambda A: np.sum(np.linalg.lstsq(A, np.ones(4))[0] ** 2))(W.T)


def branch_that_is_not_taken(np, m):
    """The outer np.where alone gives NaN, in both."""
    x = numpy.array([-1.0, 0.0, 4.0])
    return (m.grad(lambda x: np.sum(np.where(x > 0, np.sqrt(np.where(x > 0, x, 1)), 0)))(x),
            m.grad(lambda x: np.sum(np.where(x > 0, np.sqrt(x), 0)))(x))  # fmt: skip


def picked_twice(np, m):
    x, rows = numpy.arange(1.0, 4.0), numpy.array([0, 0, 2])
    split = m.grad(lambda B: np.sum(B[np.array([0, 1, 1]), :, rows] ** 3 * np.arange(5.0)))(B)
    return m.hessian(lambda x: np.sum(x[rows] ** 3 * np.arange(3.0)))(x), split


def products_with_zeros(np, m):
    x = numpy.array([1.0, 0.0, 2.0, 0.0])
    return m.hessian(np.prod)(x), m.grad(lambda x: np.sum(np.cumprod(x) * np.arange(4.0)))(x)


def scalars(np, m):
    powers = m.grad(lambda x: np.sum(x ** numpy.arange(4)))(numpy.array([0.0, 0.0, 0.0, 2.0]))
    return m.grad(lambda x: x * np.sin(x))(numpy.array(2.0)), m.grad(m.grad(lambda x: x**x))(1.3), powers


def single_precision(np, m):
    f = m.grad(lambda x: np.sum(np.exp(x) / np.sum(np.exp(x)) * x))
    return f(numpy.arange(5, dtype=numpy.float32))


PROGRAMS = [f for f in list(globals().values()) if getattr(f, "__module__", "") == __name__ and f is not loss]


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_programs_match_jax(program):
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_disable_most_optimizations", True)  # optimizing takes longer than running
    with numpy.errstate(invalid="ignore"):
        mine, right = program(numpy, nnc), jax.jit(lambda: program(jax.numpy, jax))()
    mine, right = (x if isinstance(x, (tuple, list)) else (x,) for x in (mine, right))
    assert len(mine) == len(right)
    for x, y in zip(mine, right, strict=True):
        y = numpy.asarray(y)
        assert numpy.shape(x) == y.shape and x.dtype == y.dtype
        size = numpy.nanmax(numpy.abs(y), initial=1)
        tolerance = 1e-9 if y.dtype == numpy.float64 else 1e-6  # a few hundred roundings, and inverses of matrices
        numpy.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance * size)
