"""A Hessian-vector product of the loss of 784-200-10, batch 64, and the gradient that it is computed from.

No library forms the Hessian, of 2.5e10 numbers. JAX compiles both as a whole.
"""

import numpy as np

from .graph import BATCH, SIZES, _cost
from .trainers import initial

TITLE = "A gradient of 784-200-10, batch 64, and the Hessian times a vector"
UNIT, DECIMALS = "µs", 0
DTYPES = {"float32": slice(None)}  # dtype: slice of the thread counts
BUDGET, ROUNDS = 0.1, 4


def value(case, seconds):
    return seconds * 1e6


def _runs(prepare):
    """prepare(X, y, Y, parameters, vectors, threads) gives a run of the gradient, and one of the product."""

    def runs(threads, dtype, folder, quick):
        rng = np.random.default_rng(1)
        X, y = rng.standard_normal((SIZES[0], BATCH)).astype(dtype), rng.integers(0, SIZES[-1], BATCH)
        W, b = initial(SIZES, dtype)
        parameters = [W[0], b[0], W[1], b[1]]
        vectors = [rng.standard_normal(p.shape).astype(dtype) for p in parameters]
        Y = np.eye(SIZES[-1], dtype=dtype)[:, y]
        yield from zip(("gradient", "H v"), prepare(X, y, Y, parameters, vectors, threads), strict=True)

    return runs


def nnc(X, y, Y, parameters, vectors, threads):
    import nnc

    nnc.set_num_threads(threads)

    def J(parameters):
        W1, b1, W2, b2 = parameters
        A1 = nnc.relu(nnc.linear(W1, X, b1))
        return nnc.softmax_cross_entropy(nnc.linear(W2, A1, b2), y).mean()

    gradient, product = nnc.grad(J), nnc.hvp(J)
    return lambda: gradient(parameters), lambda: product(parameters, vectors)


def torch(X, y, Y, parameters, vectors, threads):
    import torch

    torch.set_num_threads(threads)
    tensors = [torch.from_numpy(p).requires_grad_() for p in parameters]
    vectors, data, labels = [torch.from_numpy(v) for v in vectors], torch.from_numpy(X), torch.from_numpy(y)

    def gradient(create_graph=False):
        W1, b1, W2, b2 = tensors
        Z2 = W2 @ torch.relu(W1 @ data + b1) + b2
        J = torch.nn.functional.cross_entropy(Z2.T, labels)
        return torch.autograd.grad(J, tensors, create_graph=create_graph)

    return gradient, lambda: torch.autograd.grad(gradient(create_graph=True), tensors, vectors)


def autograd(X, y, Y, parameters, vectors, threads):
    import autograd
    import autograd.numpy
    from autograd.scipy.special import logsumexp

    J = _cost(autograd.numpy, logsumexp, X, Y)
    gradient = autograd.grad(J)

    def directional(parameters):
        return sum(autograd.numpy.sum(g * v) for g, v in zip(gradient(parameters), vectors, strict=True))

    product = autograd.grad(directional)
    return lambda: gradient(parameters), lambda: product(parameters)


def jax(X, y, Y, parameters, vectors, threads):
    """Forward over reverse, which suits JAX best."""
    import jax

    jax.config.update("jax_enable_x64", True)
    J = _cost(jax.numpy, jax.scipy.special.logsumexp, X, Y)
    gradient = jax.jit(jax.grad(J))
    product = jax.jit(lambda ps, vs: jax.jvp(jax.grad(J), (ps,), (vs,))[1])
    ps, vs = [jax.numpy.asarray(p) for p in parameters], [jax.numpy.asarray(v) for v in vectors]
    return lambda: jax.block_until_ready(gradient(ps)), lambda: jax.block_until_ready(product(ps, vs))


RUNS = {"nnc": _runs(nnc), "autograd": _runs(autograd), "jax": _runs(jax), "torch": _runs(torch)}
