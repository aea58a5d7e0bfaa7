"""The backward pass: seeds, depth, accumulated gradients, errors (csrc/python/backward.c)."""

from dataclasses import replace

import numpy as np
import pytest
from test_rules import away

import nnc
from nnc import Node

# ---- seeds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3,), (1,), (1, 1), (0,)])
def test_an_array_needs_a_seed(shape):
    with pytest.raises(ValueError, match=r"J\.mean\(\).*seed"):
        Node(np.ones(shape)).backward()


@pytest.mark.parametrize("seed", [np.ones(2), np.ones((3, 1)), np.ones((1, 3)), [1.0]])
def test_a_seed_of_another_shape_is_an_error(seed):
    with pytest.raises(ValueError, match="seed"):
        Node(np.ones(3)).backward(seed)


def test_a_seed_may_be_a_list_or_a_number():
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


def test_a_chain_of_50_000_nodes_needs_no_recursion():
    x = y = Node(1.0)
    for _ in range(25_000):
        y = y * 1.0001 + 0.0
    y.backward()
    np.testing.assert_allclose(float(x.grad), 1.0001**25_000, rtol=1e-10)
    del y, x  # is freed without recursion, too


SHARING = {"same array": lambda x: x + 0.0, "reshape": lambda x: x.reshape(3, 2), "transpose": lambda x: x.T}


@pytest.mark.parametrize("first", SHARING)
@pytest.mark.parametrize("second", SHARING)
def test_a_gradient_that_shares_memory_with_another_is_not_added_to_in_place(first, second):
    """The two gradients that are added at x share memory with those of a and b, which must not change."""
    x = Node(away(2, 3))
    a, b = SHARING[first](x), SHARING[second](x)
    u, v = away(*a.shape), 2 * away(*b.shape)
    ((a * u).sum() + (b * v).sum()).backward()
    np.testing.assert_array_equal(a.grad, u)
    np.testing.assert_array_equal(b.grad, v)
    back = {"same array": lambda g: g, "reshape": lambda g: g.reshape(2, 3), "transpose": lambda g: g.T}
    np.testing.assert_array_equal(x.grad, back[first](u) + back[second](v))


def test_an_exception_in_a_vjp_is_raised_and_the_graph_can_be_used_again():
    divisor = 0
    exp = nnc.custom(np.exp, lambda g, y, x: g * y / (1 // divisor))
    x = Node(away(3))
    J = (exp(x) * x).sum()
    with pytest.raises(ZeroDivisionError):
        J.backward()
    divisor = 1
    J.backward()
    np.testing.assert_allclose(x.grad, np.exp(x.value) * (1 + x.value))


@pytest.mark.parametrize("name", ["inputs", "params", "_args"])
def test_what_a_node_was_computed_from_cannot_be_replaced(name):
    with pytest.raises(AttributeError):
        setattr(Node(2.0) * 3.0, name, ())


def test_a_backward_pass_within_a_vjp():
    """A VJP may run another backward pass through the same nodes; each pass reaches all of its nodes."""
    a, b, unrelated = Node(away(3)), Node(away(3)), Node(1.0)
    inner = np.exp(a + b)  # of the same nodes, and one more
    seen = []

    def vjp(g, C, A, B):
        seen.append(nnc.jacobian(inner, a))
        return g * B

    y = nnc.custom(np.multiply, [vjp, lambda g, C, A, B: g * A])(a, b)
    J = (y + np.sin(a) + b + unrelated).sum()
    J.backward()
    np.testing.assert_array_equal(seen, [np.diag(inner.value)])
    np.testing.assert_allclose(a.grad, b.value + np.cos(a.value))
    np.testing.assert_allclose(b.grad, a.value + 1)
    assert unrelated.grad == 3
    nnc.jacobian(J, y)  # a and b are not on the path from J to y
    assert len(seen) == 1


def test_a_rule_with_too_few_vjps_is_an_error():
    x = Node(2.0)
    y = 3.0 * x
    y._rule = replace(y._rule, vjps=y._rule.vjps[:1])
    with pytest.raises(IndexError):
        y.backward()


def test_each_node_is_visited_once():
    """2^60 paths through 120 edges."""
    x = y = Node(1.0)
    for _ in range(60):
        y = y + y
    y.backward()
    assert float(x.grad) == 2.0**60
