"""The backward pass: seeds, depth, gradients that accumulate, what may be wrong (csrc/python/backward.c)."""

from dataclasses import replace

import numpy as np
import pytest
from test_rules import away

import nnc
from nnc import Node

# ---- seeds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3,), (1,), (1, 1), (0,)])
def test_no_scalar_needs_a_seed(shape):
    with pytest.raises(ValueError, match=r"J\.mean\(\).*seed"):
        Node(np.ones(shape)).backward()


@pytest.mark.parametrize("seed", [np.ones(2), np.ones((3, 1)), np.ones((1, 3)), [1.0]])
def test_a_seed_of_another_shape(seed):
    with pytest.raises(ValueError, match="seed"):
        Node(np.ones(3)).backward(seed)


def test_seeds():
    x = Node(away(3).astype(np.float32))
    y = x * 2
    y.backward([1, 2, 3])
    np.testing.assert_array_equal(x.grad, [2, 4, 6])
    assert x.grad.dtype == y.grad.dtype == np.float32
    y.backward(0.5)  # dL = 1/r, the mean of eq. 5.3
    np.testing.assert_array_equal(x.grad, 1)
    seed = np.ones(3)
    x.backward(seed)
    assert x.grad is not seed


# ---- depth, size ----------------------------------------------------------------------------------------------------


def test_a_chain_of_50_000_nodes():
    x = y = Node(1.0)
    for _ in range(25_000):
        y = y * 1.0001 + 0.0
    y.backward()
    np.testing.assert_allclose(float(x.grad), 1.0001**25_000, rtol=1e-10)
    del y, x  # goes away without recursion, too


WAYS = {"the very ones": lambda x: x + 0.0, "views": lambda x: x.reshape(3, 2), "other views": lambda x: x.T}


@pytest.mark.parametrize("first", WAYS)
@pytest.mark.parametrize("second", WAYS)
def test_gradients_that_other_nodes_have_too_add_up_elsewhere(first, second):
    """Both gradients of x lie in the memory of those of a and b, which must stay what they are."""
    x = Node(away(2, 3))
    a, b = WAYS[first](x), WAYS[second](x)
    u, v = away(*a.shape), 2 * away(*b.shape)
    ((a * u).sum() + (b * v).sum()).backward()
    np.testing.assert_array_equal(a.grad, u)
    np.testing.assert_array_equal(b.grad, v)
    back = {"the very ones": lambda g: g, "views": lambda g: g.reshape(2, 3), "other views": lambda g: g.T}
    np.testing.assert_array_equal(x.grad, back[first](u) + back[second](v))


def test_an_exception_on_the_way_back_comes_out_and_leaves_the_graph_whole():
    x = Node(away(3))
    y = np.exp(x)
    right = y._rule
    y._rule = replace(right, vjps=(lambda g, C, A: 1 / 0,))
    J = (y * x).sum()
    with pytest.raises(ZeroDivisionError):
        J.backward()
    y._rule = right
    J.backward()
    np.testing.assert_allclose(x.grad, np.exp(x.value) * (1 + x.value))


@pytest.mark.parametrize("name", ["inputs", "params", "_args"])
def test_what_a_node_was_computed_from_cannot_be_replaced(name):
    with pytest.raises(AttributeError):
        setattr(Node(2.0) * 3.0, name, ())


def test_the_way_back_within_the_way_back():
    """A VJP may run a traversal of its own through the same nodes; both traversals find all of theirs."""
    a, b, unrelated = Node(away(3)), Node(away(3)), Node(1.0)
    y = a * b
    inner = np.exp(a + b)  # from the same nodes, and others
    seen = []

    def vjp(g, C, A, B):
        seen.append(nnc.autodiff.node.pullback(inner, np.ones(3))[a])
        return g * B

    right = y._rule
    y._rule = replace(right, vjps=(vjp, right.vjps[1]))
    J = (y + np.sin(a) + b + unrelated).sum()
    J.backward()
    np.testing.assert_array_equal(seen, [inner.value])
    np.testing.assert_allclose(a.grad, b.value + np.cos(a.value))
    np.testing.assert_allclose(b.grad, a.value + 1)
    assert unrelated.grad == 3
    gradients = nnc.autodiff.node.pullback(J, np.float64(1), y)  # a and b are no part of this one
    assert a not in gradients and y in gradients


def test_a_rule_with_too_few_products_is_an_error():
    x = Node(2.0)
    y = 3.0 * x
    y._rule = replace(y._rule, vjps=y._rule.vjps[:1])
    with pytest.raises(IndexError):
        y.backward()


def test_a_wide_ladder_is_walked_once():
    """2^60 paths from end to beginning, 120 nodes."""
    x = y = Node(1.0)
    for _ in range(60):
        y = y + y
    y.backward()
    assert float(x.grad) == 2.0**60
