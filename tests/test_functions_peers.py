"""Other NumPy functions of Nodes compared with JAX and autograd: the same calls with their NumPy."""

from types import FunctionType

import numpy as np
import pytest
from operands import rng
from test_functions import CASES

from nnc import Node
from nnc.autodiff.node import pullback

RTOL, ATOL = 1e-9, 1e-10  # factorisations of small, well-conditioned matrices, twice differentiated
MISSING = (AttributeError, TypeError, NotImplementedError, ValueError)  # what they raise where they lack something
MANY = 3  # examples of each function
ONE_TRIANGLE = {"cholesky", "eigh", "eigvalsh"}  # NumPy reads one triangle, JAX both: they get symmetric matrices
KNOWN_ERRORS = {
    "autograd.numpy": {
        "full_like", "array_split", "diag", "cross", "solve",  # the gradient does not have the shape of the argument
        "norm",  # nor here, with keepdims
        "det",  # inaccurate for a matrix that is nearly singular
    },
    "jax.numpy": {"vander"},  # 0 ** 0 gives NaN
}  # fmt: skip


def jax():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_disable_most_optimizations", True)  # optimizing takes longer than running
    return jax.numpy, jax.grad, compiled


def compiled(f):
    """Compiled where possible, which takes a third of the time of running each operation by itself."""
    import jax

    def call(*operands):
        try:
            return jax.jit(f)(*operands)
        except (TypeError, IndexError, jax.errors.JAXTypeError):
            return f(*operands)

    return call


def autograd():
    anp = pytest.importorskip("autograd.numpy")
    from autograd import grad

    return anp, grad, lambda f: f


def translated(x, library):
    """The function x with the library's functions instead of NumPy's, in its closure, too."""
    if isinstance(x, FunctionType) and x.__module__ in ("test_functions", "test_function_shapes", __name__):
        cells = tuple(type(cell)(translated(cell.cell_contents, library)) for cell in x.__closure__ or ())
        return FunctionType(x.__code__, {**x.__globals__, "np": library}, x.__name__, x.__defaults__, cells)
    if callable(x) and getattr(np.linalg, getattr(x, "__name__", ""), None) is x:
        return getattr(library.linalg, x.__name__)
    if callable(x) and getattr(np, getattr(x, "__name__", ""), None) is x:
        return getattr(library, x.__name__)
    return x


def peer_gradients(f, grad, compiled, operands, seed, weights):
    """The peer's gradients, and the gradients of their weighted sum, or None if it lacks them."""
    argnums = tuple(range(len(operands)))

    def first(*xs):
        return [grad(lambda *xs: (seed * f(*xs)).sum(), i)(*xs) for i in argnums]

    def total(*xs):
        return sum((w * g).sum() for w, g in zip(weights, first(*xs), strict=True))

    def both(*xs):
        return first(*xs), [grad(total, i)(*xs) for i in argnums]

    try:
        return compiled(both)(*operands)
    except MISSING:
        return compiled(first)(*operands), None


def symmetric(call):
    """The call with the symmetric matrix that has A's lower triangle."""
    return lambda A: call(np.tril(A) + np.swapaxes(np.tril(A, -1), -1, -2))


def close(mine, right):
    for a, b in zip(mine, right, strict=True):
        np.testing.assert_allclose(a.value if isinstance(a, Node) else a, np.asarray(b), rtol=RTOL, atol=ATOL)


@pytest.mark.slow
@pytest.mark.parametrize("peer", [jax, autograd])
@pytest.mark.parametrize("function", CASES, ids=lambda f: f.__name__)
def test_gradients_agree_with_the_peers(peer, function):
    library, grad, compiled = peer()
    if function.__name__ in KNOWN_ERRORS[library.__name__]:
        pytest.skip(f"{library.__name__} has another gradient")
    compared = 0
    for call, *operands in CASES[function][:MANY]:
        call = symmetric(call) if function.__name__ in ONE_TRIANGLE else call
        operands = [np.asarray(x, float) for x in operands]
        nodes = [Node(x) for x in operands]
        y = call(*nodes)
        seed = 0.5 + rng.random(y.shape)
        weights = [0.5 + rng.random(x.shape) for x in operands]
        found = pullback(y, Node(seed), create_graph=True)
        mine = [found.get(x, np.zeros(x.shape)) for x in nodes]
        try:
            right, second = peer_gradients(translated(call, library), grad, compiled, operands, seed, weights)
        except MISSING:
            continue
        close(mine, right)
        compared += 1
        if second is not None:
            total = sum((np.sum(g * w) for g, w in zip(mine, weights, strict=True)), Node(0.0))
            total.backward()
            close([np.zeros(x.shape) if x.grad is None else x.grad for x in nodes], second)
    if not compared:
        pytest.skip(f"{library.__name__} has none of these")
