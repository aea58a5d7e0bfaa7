"""The backward pass node by node: the same numbers as `backward`, and the tables that show them."""

import doctest
import importlib
import re
import xml.etree.ElementTree as ET
from base64 import b64decode

import numpy as np
import pytest
from test_drawing import SVG

import nnc
from nnc import functional as F
from nnc.display import drawing as draw


def page_7():
    w, x, b = nnc.Node(-2.0, name="w"), nnc.Node(5.0, name="x"), nnc.Node(3.0, name="b")
    t = w * x
    t.name = "t"
    z = t + b
    z.name = "z"
    return z, t, w, x, b


def network(dtype=np.float64):
    rng = np.random.default_rng(5)
    A = X = nnc.Node(rng.standard_normal((6, 5)).astype(dtype), name="X")
    for i, (m, n) in enumerate([(6, 5), (5, 4), (4, 3)], 1):
        W = nnc.Node(rng.standard_normal((n, m)).astype(dtype), name=f"W{i}")
        b = nnc.Node(rng.standard_normal((n, 1)).astype(dtype), name=f"b{i}")
        A = F.linear(W, A, b) if i % 2 else W @ F.relu(A) + b
    return F.cross_entropy(F.softmax(A), np.arange(5) % 3).mean() + 0.01 * np.sum(W * W) + X.mean()


def nodes_of(J):
    found, waiting = {J}, [J]
    while waiting:
        new = {x for x in waiting.pop().inputs if isinstance(x, nnc.Node)} - found
        found |= new
        waiting += new
    return found


def test_page_7_step_by_step():
    z, t, w, x, b = page_7()
    one, two = z.steps()
    assert [(step.number, step.name, step.gradient) for step in (one, two)] == [(1, "z", 1), (2, "t", 1)]
    assert one.node is z and two.node is t
    parts = [*one.parts, *two.parts]
    assert all(part.input is node for part, node in zip(parts, (t, b, w, x), strict=True))
    found = [(part.rule, part.local, part.product) for part in parts]
    assert found == [("1", 1, 1), ("1", 1, 1), ("x", 5, 5), ("w", -2, -2)]
    assert repr(two).splitlines()[1].split() == ["2", "t", "multiply", "1", "w", "x", "=", "5", "5", "5"]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_gradients_are_those_of_backward_and_nothing_is_changed(dtype):
    J = network(dtype)
    steps = J.steps()
    assert all(node.grad is None for node in steps.gradients)
    J.backward()
    assert set(steps.gradients) == nodes_of(J)
    for node, gradient in steps.gradients.items():
        assert gradient.dtype == node.dtype and gradient.shape == node.shape
        np.testing.assert_array_equal(gradient, node.grad)


def test_a_node_comes_after_those_computed_from_it_and_its_gradient_is_complete():
    steps = network().steps()
    number = {step.node: step.number for step in steps}
    assert set(number) == {node for node in steps.gradients if node.inputs}
    for step in steps:
        assert step.gradient is steps.gradients[step.node]
        assert all(number[part.input] > step.number for part in step.parts if part.input in number)


def test_product_is_arriving_gradient_times_local_derivative():
    for step in network().steps():
        for part in step.parts:
            assert part.local.shape == step.node.shape + part.input.shape
            product = np.tensordot(step.gradient, part.local, step.node.ndim)
            np.testing.assert_allclose(part.product, product, rtol=1e-12, atol=1e-15)


def test_where_paths_meet_the_products_add_up():
    a = nnc.Node(3.0, name="a")
    c = a * a
    (J, product) = (c * a).steps()
    assert [float(part.product) for part in (J.parts[1], *product.parts)] == [9, 9, 9]
    assert [float(part.total) for part in (J.parts[1], *product.parts)] == [9, 18, 27]


def test_a_seed_starts_the_pass():
    x = nnc.Node([1.0, 2.0], name="x")
    y = x * x
    with pytest.raises(ValueError, match=r"steps: the node is \(2,\), not a scalar.*J.mean\(\)"):
        y.steps()
    np.testing.assert_array_equal(y.steps(seed=[1.0, 10.0]).gradients[x], [2, 40])
    with pytest.raises(ValueError, match=r"steps: the seed is \(3,\) and the node is \(2,\)"):
        y.steps(seed=[1.0, 2.0, 3.0])


def test_a_local_jacobian_that_would_be_huge_is_refused():
    x = nnc.Node(np.ones((100, 100)), name="x")
    part = np.sum(np.exp(x)).steps()[1].parts[0]
    with pytest.raises(ValueError, match=r"100×100 by 100×100.*\.rule"):
        part.local  # noqa: B018


def test_a_step_draws_the_graph_with_the_gradients_so_far():
    z, t, *_ = page_7()
    one, two = z.steps()

    def gradients(drawing):
        groups = ET.fromstring(drawing.svg).findall(f"{SVG}g")
        return {g.get("data-name"): g.findall(f"{SVG}text")[-1].text for g in groups}

    assert gradients(one.graph()) == {"w": "–", "x": "–", "t": "1", "b": "1", "z": "1"}
    assert gradients(two.graph()) == {"w": "5", "x": "−2", "t": "1", "b": "1", "z": "1"}
    assert [box.name for box in two.graph().boxes if box.highlight] == ["t"]
    shown = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', two._repr_html_())[1]
    assert b64decode(shown).decode() == two.graph().svg and draw.GLOW in two.graph().svg


def test_html_is_the_table():
    evil = nnc.Node(1.0, name="<script>")
    html = np.exp(evil).steps()._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;" in html
    rows = ET.fromstring(html).findall("tr")
    header = [cell.text for cell in rows[0]]
    assert header == ["step", "node", "operation", "∂J/∂node", "to", "local", "product", "∂J/∂to"]
    assert len(rows) == 2


def test_the_steps_are_a_sequence():
    steps = network().steps()
    assert len(steps) == len(list(steps)) and steps[-1] is list(steps)[-1] and steps[:2] == list(steps)[:2]


def test_a_deep_graph_is_traversed_and_its_table_is_cut():
    x = y = nnc.Node(1.0, name="x")
    for _ in range(5_000):
        y = y * 1.0001
    steps = y.steps()
    assert len(steps) == 5_000
    assert len(repr(steps).splitlines()) < 210 and repr(steps).endswith("and 4800 more steps")
    y.backward()
    assert steps.gradients[x] == x.grad


@pytest.mark.parametrize("name", ["derive", "drawing", "layout", "names", "notation", "replay", "steps"])
def test_the_examples_in_the_docstrings(name):
    result = doctest.testmod(importlib.import_module(f"nnc.display.{name}"))
    assert result.attempted > 0 and result.failed == 0
