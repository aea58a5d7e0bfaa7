"""Work of the graph: a step of 784-200-10, batch 64, as in a notebook, and expressions of a million numbers.

The step is written line by line, as with NumPy, and differentiated by the library's graph. For the expressions nnc
computes the value and all gradients, NumPy only the value.
"""

import numpy as np

from .trainers import LR, initial

TITLE = "A step of 784-200-10, batch 64, written by hand and differentiated by the graph; a million numbers"
UNIT, DECIMALS = "µs", 0
DTYPES = {"float32": slice(None)}  # dtype: slice of the thread counts
BUDGET, ROUNDS = 0.1, 4
SIZES, BATCH = (784, 200, 10), 64
MILLION = {
    "(x*y+z).sum()": lambda x, y, z: (x * y + z).sum(),
    "(x*y).sum()": lambda x, y, z: (x * y).sum(),
    "(x+y).sum()": lambda x, y, z: (x + y).sum(),
    "((x*y+z)**2).mean()": lambda x, y, z: ((x * y + z) ** 2).mean(),
    "(x*x*x).sum()": lambda x, y, z: (x * x * x).sum(),
    "tanh(x*y+z).sum()": lambda x, y, z: np.tanh(x * y + z).sum(),
}


def value(case, seconds):
    return seconds * 1e6


def _runs(prepare, million=None):
    """prepare(X, y, Y, parameters, threads) gives the step; Y is y one-hot. million(f, arrays) gives a run of f."""

    def runs(threads, dtype, folder, quick):
        rng = np.random.default_rng(1)
        X, y = rng.standard_normal((SIZES[0], BATCH)).astype(dtype), rng.integers(0, SIZES[-1], BATCH)
        W, b = initial(SIZES, dtype)
        Y = np.eye(SIZES[-1], dtype=dtype)[:, y]
        yield "step", prepare(X, y, Y, [W[0], b[0], W[1], b[1]], threads)
        arrays = list(rng.standard_normal((3, 1_000_000)).astype(dtype))
        for name, f in MILLION.items() if million else ():
            yield name, million(f, arrays)

    return runs


def nnc(X, y, Y, parameters, threads):
    import nnc

    nnc.set_num_threads(threads)
    nodes = [nnc.Node(p, name=name) for p, name in zip(parameters, ("W1", "b1", "W2", "b2"), strict=True)]

    def step():
        W1, b1, W2, b2 = nodes
        A1 = nnc.relu(nnc.linear(W1, X, b1))
        J = nnc.softmax_cross_entropy(nnc.linear(W2, A1, b2), y).mean()
        J.backward()
        for node in nodes:
            nnc.sgd(node.value, node.grad, LR)

    return step


def nnc_million(f, arrays):
    import nnc

    nodes = [nnc.Node(x) for x in arrays]
    return lambda: f(*nodes).backward()


def numpy_million(f, arrays):
    return lambda: f(*arrays)


def numpy(X, y, Y, parameters, threads):
    """By hand, without a graph."""
    W1, b1, W2, b2 = parameters

    def step():
        Z1 = W1 @ X + b1
        A1 = np.maximum(Z1, 0)
        Z2 = W2 @ A1 + b2
        P = np.exp(Z2 - Z2.max(axis=0))
        dZ2 = (P / P.sum(axis=0) - Y) / BATCH
        dZ1 = (W2.T @ dZ2) * (Z1 > 0)
        for parameter, gradient in ((W2, dZ2 @ A1.T), (b2, dZ2.sum(axis=1, keepdims=True)),
                                    (W1, dZ1 @ X.T), (b1, dZ1.sum(axis=1, keepdims=True))):
            parameter -= LR * gradient

    return step


def torch(X, y, Y, parameters, threads):
    import torch

    torch.set_num_threads(threads)
    tensors = [torch.from_numpy(p).requires_grad_() for p in parameters]
    data, labels = torch.from_numpy(X), torch.from_numpy(y)

    def step():
        W1, b1, W2, b2 = tensors
        Z2 = W2 @ torch.relu(W1 @ data + b1) + b2
        torch.nn.functional.cross_entropy(Z2.T, labels).backward()
        with torch.no_grad():
            for p in tensors:
                p -= LR * p.grad
                p.grad = None

    return step


def _cost(np, logsumexp, X, Y):
    """J of the parameters, for the libraries that differentiate functions."""

    def J(parameters):
        W1, b1, W2, b2 = parameters
        Z2 = np.dot(W2, np.maximum(np.dot(W1, X) + b1, 0)) + b2
        return np.mean(logsumexp(Z2, axis=0) - np.sum(Z2 * Y, axis=0))

    return J


def autograd(X, y, Y, parameters, threads):
    import autograd.numpy
    from autograd.scipy.special import logsumexp

    gradient = autograd.grad(_cost(autograd.numpy, logsumexp, X, Y))

    def step():
        for p, g in zip(parameters, gradient(parameters), strict=True):
            p -= LR * g

    return step


def jax(X, y, Y, parameters, threads):
    """Compiled as a whole, unlike the others."""
    import jax

    jax.config.update("jax_enable_x64", True)
    J = _cost(jax.numpy, jax.scipy.special.logsumexp, X, Y)
    update = jax.jit(lambda ps: [p - LR * g for p, g in zip(ps, jax.grad(J)(ps), strict=True)])
    state = [[jax.numpy.asarray(p) for p in parameters]]

    def step():
        state[0] = jax.block_until_ready(update(state[0]))

    return step


def remark():
    """The graph's own cost of an operation, in one line."""
    from .nodes import own_costs

    costs = sorted(own_costs().items(), key=lambda pair: pair[1])
    return "The graph's own cost of an operation, forward and backward, µs: " + ", ".join(
        f"{name} {cost:.1f}" for name, cost in costs) + "."


RUNS = {"nnc": _runs(nnc, nnc_million), "numpy": _runs(numpy, numpy_million), "autograd": _runs(autograd),
        "jax": _runs(jax), "torch": _runs(torch)}
