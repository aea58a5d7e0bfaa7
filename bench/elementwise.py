"""Activations, softmax over columns, and the loss with its gradient, of small arrays and of ten million numbers.

In NumPy the gradient is written by hand; the others differentiate the loss, as their users do.
"""

import functools

import numpy as np

TITLE = "Activations, softmax, loss and gradient"
UNIT, DECIMALS = "ns an element", 3
DTYPES = {"float32": slice(None), "float64": slice(0, 1)}  # dtype: slice of the thread counts
BUDGET, ROUNDS = 0.02, 3

SHAPES = ((10, 64), (200, 64), (1000, 10000))
OPS = ("relu", "sigmoid", "tanh", "softmax", "loss + gradient")
CASES = {f"{op}, {n}×{r}": (op, n, r) for op in OPS for n, r in SHAPES}


def value(case, seconds):
    _, n, r = CASES[case]
    return seconds / (n * r) * 1e9


def _runs(prepare):
    """prepare(threads) gives {op: function of (Z, y)} and a function that turns a NumPy array into the peer's."""

    def runs(threads, dtype, folder, quick):
        ops, array = prepare(threads)
        rng = np.random.default_rng(0)
        for case, (op, n, r) in CASES.items():
            if op in ops and not (quick and n == 1000):
                Z, y = (3 * rng.standard_normal((n, r))).astype(dtype), rng.integers(0, n, r)
                run = functools.partial(ops[op], array(Z.copy()), array(y))
                if n < 1000:
                    same(case, run(), numpy(1)[0][op](Z.astype(np.float64), y), 64 * np.finfo(dtype).eps)
                yield case, run

    return runs


def same(case, got, expected, tolerance):
    """A peer must compute the same numbers."""
    pairs = zip(got, expected, strict=True) if isinstance(expected, tuple) else [(got, expected)]
    for mine, right in pairs:
        mine = np.asarray(mine.detach() if hasattr(mine, "detach") else mine)
        assert np.allclose(mine, right, rtol=tolerance, atol=tolerance), f"{case}: other numbers"


def nnc(threads):
    import nnc

    nnc.set_num_threads(threads)

    def loss(Z, y):
        Z = nnc.Node(Z)
        J = nnc.softmax_cross_entropy(Z, y).mean()
        J.backward()
        return J.value, Z.grad

    return {"relu": lambda Z, y: nnc.relu(Z), "sigmoid": lambda Z, y: nnc.sigmoid(Z), "tanh": lambda Z, y: nnc.tanh(Z),
            "softmax": lambda Z, y: nnc.softmax(Z), "loss + gradient": loss}, lambda a: a


def numpy(threads):
    def softmax(Z, y):
        P = np.exp(Z - Z.max(axis=0))
        P /= P.sum(axis=0)
        return P

    def loss(Z, y):
        shifted = Z - Z.max(axis=0)
        P = np.exp(shifted)
        total, columns = P.sum(axis=0), np.arange(Z.shape[1])
        P /= total
        P[y, columns] -= 1
        P /= Z.shape[1]
        return (np.log(total) - shifted[y, columns]).mean(), P

    return {"relu": lambda Z, y: np.maximum(Z, 0), "sigmoid": lambda Z, y: 1 / (1 + np.exp(-Z)),
            "tanh": lambda Z, y: np.tanh(Z),
            "softmax": softmax, "loss + gradient": loss}, lambda a: a


def scipy(threads):
    from scipy import special

    return {"sigmoid": lambda Z, y: special.expit(Z), "softmax": lambda Z, y: special.softmax(Z, axis=0)}, lambda a: a


def torch(threads):
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(threads)

    def loss(Z, y):
        Z.requires_grad_(True)
        Z.grad = None
        J = F.cross_entropy(Z.T, y)
        J.backward()
        Z.requires_grad_(False)
        return J, Z.grad

    return {"relu": lambda Z, y: torch.relu(Z), "sigmoid": lambda Z, y: torch.sigmoid(Z),
            "tanh": lambda Z, y: torch.tanh(Z),
            "softmax": lambda Z, y: torch.softmax(Z, 0), "loss + gradient": loss}, torch.from_numpy


def jax(threads):
    import jax
    from jax import numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def cost(Z, y):
        return jnp.mean(jax.nn.logsumexp(Z, axis=0) - jnp.take_along_axis(Z, y[None], 0)[0])

    def compiled(function):
        function = jax.jit(function)
        return lambda Z, y: jax.block_until_ready(function(Z))

    gradient = jax.jit(jax.value_and_grad(cost))
    return {"relu": compiled(jax.nn.relu), "sigmoid": compiled(jax.nn.sigmoid), "tanh": compiled(jnp.tanh),
            "softmax": compiled(lambda Z: jax.nn.softmax(Z, axis=0)),
            "loss + gradient": lambda Z, y: jax.block_until_ready(gradient(Z, y))}, jnp.asarray


RUNS = {name: _runs(prepare) for name, prepare in
        {"nnc": nnc, "numpy": numpy, "scipy": scipy, "jax": jax, "torch": torch}.items()}
