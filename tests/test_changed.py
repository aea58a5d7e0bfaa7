"""What a graph was computed from cannot change silently before `backward`: it is read-only, or a change is an error."""

import copy
import dataclasses
import math
import pickle
import re
from itertools import product

import numpy as np
import pytest
from test_rules import away

import nnc
from nnc import Node

# ---- results are read-only -------------------------------------------------------------------------------------------

W, X, B = away(3, 4), away(4, 5), away(3, 1)
RESULTS = {
    "add": lambda x: x + x, "add an array": lambda x: x + W, "matmul": lambda x: x @ X, "exp": np.exp, "relu": nnc.relu,
    "linear": lambda x: nnc.linear(x, X, B), "softmax": nnc.softmax, "softmax, axis 1": lambda x: nnc.softmax(x, 1),
    "losses": lambda x: nnc.softmax_cross_entropy(x, [0, 1, 2, 0]), "sum": lambda x: x.sum(axis=0),
    "reshape": lambda x: x.reshape(4, 3), "as it is": lambda x: x.reshape(3, 4), "transpose": lambda x: x.T,
    "ravel": np.ravel, "index": lambda x: x[1:], "picked": lambda x: x[[0, 2]], "all": lambda x: x[...],
    "squeeze": np.squeeze, "broadcast": lambda x: np.broadcast_to(x, (2, 3, 4)), "positive": lambda x: +x,
    "stack": lambda x: np.stack([x, x]), "swapaxes": lambda x: x.swapaxes(0, 1), "einsum": lambda x:
    np.einsum("ij->ji", x), "einsum, as it is": lambda x: np.einsum("ij->ij", x), "diagonal": np.diagonal,
    "atleast_2d": np.atleast_2d, "clip": lambda x: np.clip(x, -1, 1), "moveaxis": lambda x: np.moveaxis(x, 0, 1),
}  # fmt: skip


def nodes_of(result):
    """The result and all nodes that it was computed from."""
    nodes = [result]
    for node in nodes:
        nodes += [x for x in node.inputs if isinstance(x, Node)]
    return nodes


@pytest.mark.parametrize("name", RESULTS)
def test_results_are_read_only_and_their_leaf_is_not(name):
    leaf = Node(W.copy())
    for result in (RESULTS[name](leaf), RESULTS[name](leaf * 1.0)):
        for node in (node for node in nodes_of(result) if node.inputs and node.ndim):
            with pytest.raises(ValueError, match="read-only"):
                node.value[..., 0] = 7
    np.testing.assert_array_equal(leaf.value, W)
    leaf.value[0, 0] = 7  # it is still writable, and so is what a primitive returns for it
    assert leaf.value.flags.writeable and nnc.relu(leaf.value).flags.writeable


def test_what_primitives_return_for_arrays_is_writable():
    A = np.abs(W)
    P, y = nnc.softmax(W), [0, 1, 2, 0]
    for array in (nnc.matmul(W, X), nnc.add_bias(W, B), nnc.linear(W, X, B), nnc.relu(W), nnc.leaky_relu(W),
                  nnc.tanh(W), nnc.sigmoid(W), P, nnc.log_softmax(W), nnc.cross_entropy(P, y),
                  nnc.softmax_cross_entropy(W, y), *nnc.matmul_backward(W @ X, W, X),
                  *nnc.linear_backward(W @ X, W, X), *nnc.add_bias_backward(W), nnc.relu_backward(W, A),
                  nnc.softmax_backward(W, P), nnc.one_hot(y, 3)):  # fmt: skip
        array[...] = 0


def test_writing_into_the_output_of_softmax_is_an_error():
    """P - Y written into P, from which softmax's gradient is computed."""
    Z = Node(away(3, 4), name="Z")
    P = nnc.softmax(Z)
    with pytest.raises(ValueError, match="read-only"):
        P.value[[0, 1, 2, 0], range(4)] -= 1
    dZ = P.value.copy()
    dZ[[0, 1, 2, 0], range(4)] -= 1  # as the documentation says
    P.sum().backward()
    np.testing.assert_allclose(Z.grad, 0, atol=1e-15)


def test_a_result_cannot_be_set():
    y = np.exp(Node([1.0, 2.0]))
    for name in ("value", "data"):
        with pytest.raises(RuntimeError, match="Node: the value cannot be set of a result; set that of a leaf"):
            setattr(y, name, np.ones(2))


# ---- leaves and arrays change ----------------------------------------------------------------------------------------


def test_the_training_loop_of_micrograd():
    w, b = Node(away(3, 4), name="w"), Node(0.5)
    costs = []
    for _ in range(50):
        J = ((np.tanh(w @ X) + b) ** 2).mean()
        J.backward()
        for p in (w, b):
            p.data -= 0.5 * p.grad
        costs.append(J.item())
    assert costs[-1] < 0.1 * costs[0]


def set_value(p, values):
    p.value = values


def set_data(p, values):
    p.data = values


def in_place_by_data(p, values):
    p.data -= p.data - values


def in_its_array(p, values):
    p.value[...] = values


def one_entry(p, values):
    p.value.flat[-1] = values.flat[-1]


def sgd(p, values):
    nnc.sgd(p.value, p.value - values, 1.0)


CHANGES = [set_value, set_data, in_place_by_data, in_its_array, one_entry, sgd]
GRAPHS = {
    "product": lambda p: (p * p).sum(), "sum": lambda p: p.sum(), "a view": lambda p: (p.T * 2).sum(),
    "views": lambda p: np.sum(p.reshape(-1)[1:] ** 2), "matmul": lambda p: (p @ np.tri(p.shape[1], 2)).mean(),
    "deep": lambda p: np.sum(np.exp(np.tanh(p * 0.1)) * 3), "joined": lambda p: np.concatenate([p, p]).sum(),
    "picked": lambda p: p[[0, 1]].sum(),
}  # fmt: skip


READS_IT = {"product", "views"}  # the others' gradients are computed without the array


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("shape", [(2, 3), (2, 16), (90, 200)])
def test_a_leaf_changed_after_use_is_an_error_that_names_it_or_changes_nothing(graph, change, shape):
    p = Node(away(*shape), name="W1")
    J = GRAPHS[graph](p)
    J.backward()
    before, values = p.grad, p.grad.copy()
    is_error = graph in READS_IT or change in (set_value, set_data, in_place_by_data)
    change(p, p.value + 1)
    for use in (J.backward, lambda: J.backward(create_graph=True), lambda: nnc.jacobian(J, p)):
        try:
            use()
            assert not is_error
        except RuntimeError as error:
            assert re.search("W1( or .*)? has changed after .* Compute the graph again", str(error))
            assert p.grad is before  # no gradient was replaced
        np.testing.assert_array_equal(getattr(p.grad, "value", p.grad), values)
    again = GRAPHS[graph](p)
    again.backward()
    fresh = Node(p.value.copy())
    GRAPHS[graph](fresh).backward()
    np.testing.assert_array_equal(p.grad, fresh.grad)


def test_a_copy_of_a_graph_that_has_changed_is_an_error():
    p = Node(away(2, 3), name="W1")
    J = p**2
    p.value[0, 0] += 1
    for use in (lambda: copy.deepcopy(J), lambda: pickle.dumps(J)):
        with pytest.raises(RuntimeError, match="W1 has changed after power"):
            use()


def layouts(dtype):
    """Small and large arrays, contiguous and with gaps; from 0.5 MB on hashed in pieces, by several threads."""
    yield away(7).astype(dtype)
    yield away(31, 1).astype(dtype)
    for shape in ((100, 100), (64, 784), (1031, 203), (9, 31, 11)):
        yield (a := away(*shape).astype(dtype))
        yield a.copy().T
        yield a.copy("F")
    yield away(60, 200).astype(dtype)[:, 40:104]
    yield away(60, 200).astype(dtype)[::-3, ::2]
    yield away(5, 400).astype(dtype)[:, ::-1]
    yield away(20, 30, 4).astype(dtype).transpose(1, 0, 2)[..., 1:3]
    yield np.lib.stride_tricks.as_strided(away(300).astype(dtype), (40, 250), (0, np.dtype(dtype).itemsize))


GRAPHS_THAT_READ = {
    "leaf": lambda x: (w := Node(x, name="w"), np.sum(w * w)),
    "view": lambda x: (w := Node(x, name="w"), np.sum(w.T**2)),
    "views of views": lambda x: (w := Node(x, name="w"), np.sum(np.exp(w[::-1].T[...].reshape(-1) * 0.5) * w[0, 0])
                                 + np.sum(w[1:] * w[:-1])),
    "data": lambda x: (w := Node(np.ones(x.shape), name="w"), np.sum(w * x)),
    "data of a product": lambda x: (w := Node(np.ones((3, x.shape[-2])), name="w"), (w @ x).sum()),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("graph", GRAPHS_THAT_READ)
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_change_of_any_single_entry_is_seen(graph, dtype, create_graph):
    rng = np.random.default_rng(0)
    for x in layouts(dtype):
        if x.ndim < 2:
            x = x[:, None]
        if graph == "views of views" and x.ndim != 2:
            continue
        w, J = GRAPHS_THAT_READ[graph](x)
        J.backward(create_graph=create_graph)
        indices = [tuple(rng.integers(0, n) for n in x.shape) for _ in range(20)]
        for i in [(0,) * x.ndim, tuple(n - 1 for n in x.shape), *indices]:
            kept = x[i]
            for new in (np.nextafter(kept, np.inf, dtype=dtype), -kept, 2 * kept):
                x[i] = new
                with pytest.raises(RuntimeError, match="has changed after"):
                    J.backward(create_graph=create_graph)
            x[i] = kept
        J.backward(create_graph=create_graph)  # unchanged again


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # for setting the shape
def test_another_shape_is_a_change_too():
    a = away(3, 1)
    J = (Node(a) * Node(a)).sum()
    a.shape = (1, 3)  # which would broadcast to (3, 3): a wrong gradient without an error
    with pytest.raises(RuntimeError, match="has changed after multiply"):
        J.backward()


def test_two_entries_swapped_are_seen_wherever_they_are():
    for dtype, n in (("f4", 5000), ("f8", 5000), ("f8", 200_000)):
        x = np.arange(n, dtype=dtype)
        J = (Node(2.0) * x).sum()
        for step in (1, 2, 8, 16, 512, 1024, 4096):
            x[step], x[0] = x[0], x[step]
            with pytest.raises(RuntimeError, match="has changed"):
                J.backward()
            x[step], x[0] = x[0], x[step]
        J.backward()


UPDATES = [lambda a: a - 1, lambda a: 2 * a, lambda a: 16 * a, np.negative, lambda a: a[::-1], np.zeros_like,
                  lambda a: np.roll(a, 1), lambda a: a.repeat(2, 0)[: len(a)]]  # fmt: skip


@pytest.mark.parametrize("shape", [(), (1,), (3, 0), (3, 3), (40, 50), (300, 400), (1024, 1024)])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("layout", ["C", "F", "gaps"])
def test_an_update_of_the_whole_array_is_seen(shape, dtype, layout):
    for seed, change in product(range(100 if math.prod(shape) < 10 else 1), UPDATES):
        array = np.random.default_rng(seed).standard_normal((*shape, 2)).astype(dtype)[..., 0]
        array = array if layout == "gaps" else array.copy(layout)
        p = Node(array)
        assert p.value is array
        J = np.tanh(p).sum()  # whose gradient is computed from p itself
        old = array.copy()
        array[...] = new = change(np.atleast_1d(array)).reshape(shape).copy()
        if np.array_equal(new, old):
            J.backward()  # the same numbers again are not a change
        else:
            with pytest.raises(RuntimeError, match="has changed"):
                J.backward()


def test_a_change_of_any_entry_of_a_small_array_is_seen():
    for x in (away(4, 8), away(8, 8).astype("f4"), away(8, 8)[::2], np.arange(20) % 3, np.arange(30) % 2 > 0):
        for i in np.ndindex(x.shape):
            J = (Node(2.0) * x).sum()
            kept = x[i]
            x[i] = not kept
            with pytest.raises(RuntimeError, match=re.escape(f"backward: an array {x.shape} has changed")):
                J.backward()
            x[i] = kept
            J.backward()


def test_changes_of_data_labels_masks_and_indices_are_seen():
    Z, x, y, mask, rows = Node(away(3, 4)), away(3, 4), np.array([0, 1, 2, 0]), away(3, 4) > 0, [0, 2]
    index, targets = np.array([1, 2]), np.eye(3)[:, [0, 1, 2, 0]]
    cases = [
        (x, lambda: (Z * x).sum()), (y, lambda: nnc.softmax_cross_entropy(Z, y).sum()),
        (y, lambda: nnc.cross_entropy(nnc.softmax(Z), y).sum()), (mask, lambda: np.where(mask, Z, 0.0).sum()),
        (rows, lambda: Z[rows].sum()), (index, lambda: Z[index, index].sum()), (rows, lambda: Z[rows, 1].sum()),
        (index, lambda: np.take(Z, index, 0).sum()), (targets, lambda: nnc.softmax_cross_entropy(Z, targets).sum()),
        (x, lambda: np.stack([Z, x]).sum()), (x, lambda: nnc.linear(x.T, Z, x.T[:, :1]).sum()),
    ]  # fmt: skip
    for array, graph in cases:
        J = graph()
        J.backward()
        kept = copy.copy(array)
        array[0], array[1] = array[1], array[0] if isinstance(array, list) else kept[0]
        with pytest.raises(RuntimeError, match="has changed"):
            J.backward()
        array[:] = kept
        J.backward()


def test_what_is_not_a_change():
    """A gradient, a name, a leaf that is used elsewhere; a new value before the first use, or after the last."""
    p, q = Node(away(3)), Node(away(3))
    p.value = away(3) * 2
    J = (p * p).sum()
    q.value = away(3) * 3
    p.name = "p"
    J.backward()
    p.grad *= 5
    J.backward()
    np.testing.assert_array_equal(p.grad, 2 * p.value)
    p.value = p.value.copy()
    (p * q).sum().backward()
    np.testing.assert_array_equal(p.grad, q.value)


def test_a_jacobian_between_two_nodes_sees_a_change_of_another_operand():
    w, x = Node(away(4, 3), name="w"), Node(away(4, 2))
    Z = w.T @ x
    w.value[...] += 1  # Z uses a view of it, and the view's node is not on the path from Z to x
    with pytest.raises(RuntimeError, match=r"w or a Node \(4, 2\) has changed after matmul was computed from it"):
        nnc.jacobian(Z, x)


def test_the_whole_message():
    w = Node(away(200, 7))
    x = away(7, 5)
    J = (w @ x).sum()
    w.value = w.value * 2
    with pytest.raises(RuntimeError) as error:
        J.backward()
    assert str(error.value) == (
        "backward: a Node (200, 7) has changed after matmul was computed from it, so that the gradient would be of old "
        "and new numbers mixed. Compute the graph again after a change; an array that is written again and again goes "
        "in as array.copy()"
    )


def other_rule(**methods):
    """The rule of -x, with some methods replaced."""
    from nnc.autodiff.operations import RULES, Rule

    values = {field.name: getattr(RULES["negative"], field.name) for field in dataclasses.fields(Rule)}
    return type("OtherRule", (Rule,), methods)(**values)


def test_errors_in_a_rule_are_raised():
    from nnc import _engine

    x = Node(1.0)
    for changed in (lambda *_: 1 / 0, lambda *_: None, lambda *_: "text"):
        y = _engine.apply(other_rule(changed=changed), (x,))
        x.value = 2.0
        with pytest.raises((RuntimeError, ZeroDivisionError)):
            _engine.check_unchanged((y,))
    for all_reads in (lambda *_: 1 / 0, None, lambda *_: ("text",)):
        with pytest.raises((ZeroDivisionError, TypeError)):
            _engine.apply(other_rule(all_reads=all_reads), (x,))
    for wrong in ([y], (1,)):
        with pytest.raises(TypeError, match="check_unchanged"):
            _engine.check_unchanged(wrong)
