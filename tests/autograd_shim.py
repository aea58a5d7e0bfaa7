"""A shim: a pytest plugin with autograd's interface on top of nnc, so that autograd's own tests run on Nodes.

``autograd.numpy`` is NumPy itself, except for `array` of lists, which NumPy does not dispatch. Complex numbers are left
out. NNC_ORDER is the highest order of derivative that is checked.
"""

import itertools
import os
import sys
from types import ModuleType

import numpy as np
import pytest

import nnc
from nnc.autodiff.trees import leaves, tree_map

HIGHEST = int(os.environ.get("NNC_ORDER", "2"))
STEP, TOLERANCE = 1e-6, 1e-6


# ---- autograd.numpy --------------------------------------------------------------------------------------------------


def nodes_in(x):
    if isinstance(x, (list, tuple)):
        return [node for y in x for node in nodes_in(y)]
    return [x] if isinstance(x, nnc.Node) else []


def array(object, *args, **options):
    nodes = nodes_in(object)
    return np.array(object, *args, **options, like=nodes[0]) if nodes else np.array(object, *args, **options)


def make_diagonal(D, offset=0, axis1=-1, axis2=-2):
    """As in autograd: the last axis becomes the diagonal of the last two."""
    return np.expand_dims(D, -1) * np.eye(np.shape(D)[-1])


class Wrapped(ModuleType):
    """A module of NumPy with some names added or replaced."""

    def __init__(self, name, module, **names):
        super().__init__(name)
        self.__dict__.update(names)
        self._module = module

    def __getattr__(self, name):
        return getattr(self._module, name)


linalg = Wrapped("autograd.numpy.linalg", np.linalg, _dot=np.matmul, T=lambda x: np.swapaxes(x, -1, -2))
anp = Wrapped("autograd.numpy", np, array=array, make_diagonal=make_diagonal, linalg=linalg, random=np.random,
              __path__=[])  # fmt: skip


# ---- autograd --------------------------------------------------------------------------------------------------------


def with_scalar_result(f):
    """autograd takes any result with one element for a scalar."""

    def scalar(*args, **kwargs):
        y = f(*args, **kwargs)
        return np.reshape(y, ()) if np.ndim(y) and np.size(y) == 1 else y

    return scalar


def grad(f, argnum=0):
    return nnc.grad(with_scalar_result(f), argnum)


def value_and_grad(f, argnum=0):
    return nnc.value_and_grad(with_scalar_result(f), argnum)


def jacobian(f, argnum=0):
    return nnc.jacobian(f, argnum)


# ---- autograd.test_util ----------------------------------------------------------------------------------------------


def value(tree):
    return tree_map(lambda x: np.asarray(x.value if isinstance(x, nnc.Node) else x, float), tree)


@pytest.fixture(autouse=True)
def seeded():
    """Each test draws the same numbers, whichever tests ran before it."""
    np.random.seed(0)  # noqa: NPY002, which autograd's tests use


def random_like(tree):
    return tree_map(lambda x: np.random.standard_normal(np.shape(x)), tree)  # noqa: NPY002


def inner(tree, other):
    pairs = zip(leaves(value(tree)), leaves(value(other)), strict=True)
    return sum(float(np.sum(x * y)) for x, y in pairs)


def moved(tree, direction, step):
    directions = iter(leaves(direction))
    return tree_map(lambda x: x + step * next(directions), tree)


def difference(f, xs, vs, step):
    up, down = (value(f(*moved(xs, vs, h))) for h in (step, -step))
    down = iter(leaves(down))
    return tree_map(lambda y: y - next(down), up)


def slopes(f, xs, vs):
    """f's derivative along vs by finite differences, twice.

    With a short step, which crosses no kink; and of fourth order with longer steps, which loses fewer digits.
    """
    short, near, far = (difference(f, xs, vs, step) for step in (STEP / 2, 100 * STEP, 200 * STEP))
    far = iter(leaves(far))
    return tree_map(lambda y: y / STEP, short), tree_map(lambda y: (8 * y - next(far)) / (1200 * STEP), near)


def close(a, *others):
    assert any(abs(a - b) < TOLERANCE or abs(a - b) < TOLERANCE * abs(a + b) for b in others), (a, others)


def check(f, xs, modes, order):
    y, vs = f(*xs), random_like(xs)
    u, numeric = random_like(y), slopes(f, xs, vs)
    if "fwd" in modes:
        tangent = nnc.jvp(f, xs, vs)[1]
        assert tree_map(np.shape, tangent) == tree_map(np.shape, numeric[0])
        close(inner(tangent, u), *[inner(slope, u) for slope in numeric])
        if order > 1:
            check(lambda *xs: nnc.jvp(f, xs[: len(vs)], xs[len(vs) :])[1], (*xs, *vs), modes, order - 1)
    if "rev" in modes:
        gradients = nnc.vjp(f, *xs)[1](u)
        assert tree_map(np.shape, gradients) == tree_map(np.shape, xs)
        close(inner(gradients, vs), *[inner(slope, u) for slope in numeric])
        if order > 1:
            check(lambda u, *xs: nnc.vjp(f, *xs)[1](u), (u, *xs), modes, order - 1)


def check_grads(f, argnum=0, modes=("fwd", "rev"), order=2):
    argnums = [argnum] if isinstance(argnum, int) else list(argnum)

    def checked(*args, **kwargs):
        if any(np.iscomplexobj(x) for x in leaves(list(args))):
            return

        def f_of_these(*xs):
            given = list(args)
            for i, x in zip(argnums, xs, strict=True):
                given[i] = x
            return f(*given, **kwargs)

        check(f_of_these, tuple(args[i] for i in argnums), modes, min(order, HIGHEST))

    return checked


def combo_check(f, argnum=0, **options):
    def checked(*args, **kwargs):
        for some in itertools.product(*args):
            for values in itertools.product(*kwargs.values()):
                check_grads(f, argnum, **options)(*some, **dict(zip(kwargs, values, strict=True)))

    return checked


# ---- the plugin ------------------------------------------------------------------------------------------------------


def pytest_configure(config):
    autograd, test_util = ModuleType("autograd"), ModuleType("autograd.test_util")
    vars(autograd).update(__path__=[], numpy=anp, test_util=test_util, grad=grad, value_and_grad=value_and_grad,
                          jacobian=jacobian, tuple=tuple, list=list, dict=dict)  # fmt: skip
    vars(test_util).update(check_grads=check_grads, combo_check=combo_check)
    sys.modules |= {"autograd": autograd, "autograd.numpy": anp, "autograd.numpy.random": np.random,
                    "autograd.numpy.linalg": linalg, "autograd.test_util": test_util}  # fmt: skip


def pytest_collection_modifyitems(config, items):
    kept = [item for item in items if "complex" not in item.name]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
