"""Second derivatives of every row of the table of operations, against finite differences of the first."""

from dataclasses import replace

import numpy as np
import pytest
from test_rules import COMPOSED, CONSTANT, EXAMPLES, functions_of, skipped, split

import nnc
from nnc.autodiff.node import Node, pullback
from nnc.autodiff.operations import FUNCTIONS, RULES, UFUNCS, Rule
from nnc.autodiff.vjps import no_gradient

rng = np.random.default_rng(11)


def gradients(f, operands, free, seed, create_graph=False):
    """The gradients of sum(seed * f) by the free operands, and the Nodes for these."""
    nodes = [Node(x) if i in free else x for i, x in enumerate(operands)]
    y = f(*nodes)
    found = pullback(y, seed, create_graph=create_graph)
    batch_shape = seed.shape[: seed.ndim - y.ndim]
    return [found.get(nodes[i], np.zeros(batch_shape + np.shape(operands[i]))) for i in free], [nodes[i] for i in free]


def assert_second_derivatives(f, *operands, constant=()):
    """The gradient as a graph is the gradient; its derivatives, also by the seed, are those of finite differences."""
    free = [i for i in range(len(operands)) if i not in constant]
    operands = [np.array(x, float) + 0.0037 * i if i in free else x for i, x in enumerate(operands)]  # no ties
    y = f(*[Node(x) if i in free else x for i, x in enumerate(operands)])
    seed = 0.5 + rng.random(y.shape)
    right, _ = gradients(f, operands, free, seed)
    u = Node(seed)
    mine, nodes = gradients(f, operands, free, u, create_graph=True)
    weights = [0.5 + rng.random(x.shape) for x in right]
    for one, other, x in zip(mine, right, nodes, strict=True):
        assert one.shape == x.shape and one.dtype == x.dtype
        np.testing.assert_allclose(one.value if isinstance(one, Node) else one, other, rtol=1e-12, atol=1e-13)
    again, _ = gradients(f, operands, free, np.stack([seed, 2 * seed]), create_graph=True)  # several at once
    for one, other in zip(again, right, strict=True):
        one = one.value if isinstance(one, Node) else one
        np.testing.assert_allclose(one, np.multiply.outer([1, 2], other), rtol=1e-12, atol=1e-13)
    s = sum((np.sum(g * w) for g, w in zip(mine, weights, strict=True)), Node(0.0))
    s.backward()

    def slope(by, step):
        """The sum of weights times gradients, with `by` moved by a step."""
        moved = [x + step if x is by else x for x in operands]
        found, _ = gradients(f, moved, free, seed + step if by is seed else seed)
        return sum(np.sum(g * w) for g, w in zip(found, weights, strict=True))

    for x, derivative in [(operands[i], node.grad) for i, node in zip(free, nodes, strict=True)] + [(seed, u.grad)]:
        derivative = np.zeros(x.shape) if derivative is None else derivative
        for i in np.ndindex(x.shape):
            step = np.zeros(x.shape)
            step[i] = 1e-5
            difference = (slope(x, step) - slope(x, -step)) / 2e-5
            # h² f''' / 6 and eps / h: below 1e-8 for these sizes
            np.testing.assert_allclose(derivative[i], difference, rtol=1e-6, atol=2e-7)
    seeds = 0.5 + rng.random((2, *np.shape(s)))  # several seeds at once
    together = pullback(s, seeds)
    for node in nodes:
        if node.grad is not None:
            np.testing.assert_allclose(together[node], np.multiply.outer(seeds, node.grad), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", [name for name in RULES if EXAMPLES.get(name)])
def test_second_derivatives_of_a_row(name):
    for function in functions_of(name):
        for example in EXAMPLES[name]:
            operands, params = split(example)
            if skipped(name, function, operands, params):
                continue
            constant = CONSTANT.get(name, ())
            assert_second_derivatives(lambda *xs, f=function, p=params: f(*xs, **p), *operands, constant=constant)


@pytest.mark.parametrize("function", COMPOSED, ids=lambda f: f.__name__)
def test_second_derivatives_of_a_composed_function(function):
    for call, *operands in COMPOSED[function]:
        assert_second_derivatives(call, *operands)


SPECIAL = {  # smooth functions whose vjp depends on the values of its operands
    "logaddexp": (np.logaddexp, [0.0, 1.5, -2.0], [0.0, 1.5, -2.0]),
    "logaddexp2": (np.logaddexp2, [0.0, 1.5, -2.0], [0.0, 1.5, -2.0]),
    "power": (np.power, [2.0, 0.5, 3.0, 1.0, 1.5], [0.0, 1.0, 2.0, -1.0, 0.5]),
    "hypot": (np.hypot, [1.0, 0.0, 2.0], [0.0, 3.0, 2.0]),
    "sinc": (lambda x, y: np.sinc(x) * y, [0.0, 1.0, 1e-9], [1.0, 2.0, 3.0]),
    "sigmoid": (lambda x, y: nnc.sigmoid(x) * np.tanh(y), [0.0, 1.0, -3.0], [0.0, 3.0, 0.0]),
    "prod": (lambda x, y: np.prod(x) * np.prod(y), [0.0, 2.0, 3.0], [0.0, 0.0, 3.0]),
    "square": (lambda x, y: x**2 * y**1 + x**3 * y**2, [0.0, 2.0], [0.0, 1.0]),
    "arctan2": (np.arctan2, [0.0, 1.0, -1.0], [1.0, 0.0, -1.0]),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_second_derivatives_at_special_values(name):
    """Where operands are equal, 0, 1 or 2: a vjp that wrongly treats them as constants loses a second derivative."""
    f, x, y = SPECIAL[name]
    x, y = np.array(x), np.array(y)
    (xx, xy), (yx, yy) = nnc.hessian(lambda x, y: np.sum(f(x, y)), (0, 1))(x, y)
    h = 1e-5

    def slopes(x, y):
        return nnc.grad(lambda x, y: np.sum(f(x, y)), (0, 1))(x, y)

    for i, step in enumerate(h * np.eye(len(x))):
        for mine, up, down in (((xx, yx), (x + step, y), (x - step, y)), ((xy, yy), (x, y + step), (x, y - step))):
            for derivative, a, b in zip(mine, slopes(*up), slopes(*down), strict=True):
                np.testing.assert_allclose(derivative[:, i], (a - b) / (2 * h), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in RULES if EXAMPLES.get(name) and RULES[name].vjps_of_nodes])
def test_a_wrong_vjp_of_nodes_fails_the_test_of_its_row(name, monkeypatch):
    """The test above fails if a vjp for Nodes is off by a thousandth, for any operand."""
    for i, vjp in enumerate(RULES[name].vjps_of_nodes):
        if vjp in (None, no_gradient):
            continue
        wrong = list(RULES[name].vjps_of_nodes)
        wrong[i] = lambda g, *rest, vjp=vjp, **params: (c := vjp(g, *rest, **params)) + 1e-3 * (1 + np.abs(c))

        def with_wrong_vjps(right, wrong=tuple(wrong)):
            return lambda row, *args: right(
                replace(row, vjps_of_nodes=wrong) if isinstance(row, Rule) and row.name == name else row, *args
            )

        with monkeypatch.context() as patch:
            for call in ("_apply", "_call"):
                patch.setattr(nnc.autodiff.node, call, with_wrong_vjps(getattr(nnc.autodiff.node, call)))
            for table in (UFUNCS, FUNCTIONS):
                for function in [f for f, rule in table.items() if isinstance(rule, Rule) and rule.name == name]:
                    patch.setitem(table, function, replace(table[function], vjps_of_nodes=tuple(wrong)))
            with pytest.raises(AssertionError):
                test_second_derivatives_of_a_row(name)
