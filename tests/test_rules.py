"""Every row of the table of operations, and every composed function, against finite differences.

The test is driven by the table itself: a row or a composed function without examples fails.
"""

import sys
from dataclasses import replace

import numpy as np
import pytest
from engine_rows import ELEMENTWISE_LOSSES, KINDS
from more_examples import MORE_CONSTANTS, more_examples
from operands import away, inside, reset_rng, rng

import nnc
from nnc.autodiff.node import Node, pullback
from nnc.autodiff.operations import FUNCTIONS, RULES, UFUNCS, Rule, row, write

LABELS = np.array([2, 0, 2, 1, 0])
TARGETS = np.full((3, 5), 0.2) + 0.4 * np.eye(3)[:, LABELS]
reset_rng()
PAIRS = [
    (away(3, 4), away(3, 4) + 0.013),
    (away(3, 1), away(4)),
    (away(3, 4), 0.7),
    (away(), away(2, 3)),
    (away(2, 1, 3), away(4, 1)),
]
POSITIVE_PAIRS = [tuple(abs(np.asarray(x)) + 0.3 for x in pair) for pair in PAIRS]
ANY = [(away(3, 4),), (away(),), (away(2, 1, 3),)]
POSITIVE = [(inside(3, 4),), (inside(),)]
REDUCED = [
    (away(3, 4), {}),
    (away(3, 4), {"axis": 0}),
    (away(2, 3, 4), {"axis": (0, -1)}),
    (away(), {}),
    (away(3, 4), {"axis": -1, "keepdims": True}),
    (away(2, 3, 4), {"axis": 1}),
    (away(1, 4), {"keepdims": True}),
]
REPEATED = np.array([[3, -1, 3, 0], [0, 6, -7, 3]])
CONSTANT = {
    "leaky_relu": [1],
    "leaky_relu_backward": [2],
    "cross_entropy": [1],
    "cross_entropy_backward": [2],
    "softmax_cross_entropy": [1],
    "softmax_cross_entropy_backward": [2],
    **{name: [1] for name in ELEMENTWISE_LOSSES},
    **{f"{name}_backward": [2] for name in ELEMENTWISE_LOSSES},
    "where": [0],
}
LOSSES = {name for name in CONSTANT if "cross_entropy" in name and "binary" not in name}  # of labels or of targets

EXAMPLES = {  # row -> a list of (operand, ..., [params])
    **{name: ANY for name, kind in KINDS.items() if name in RULES and kind == "unary"},
    **{name: [(away(3, 4), away(3, 4)), (away(4), away(2, 4))]
       for name, kind in KINDS.items() if name in RULES and kind == "binary"},
    **dict.fromkeys(
        ("add", "subtract", "multiply", "divide", "maximum", "minimum", "logaddexp", "hypot", "arctan2"), PAIRS
    ),
    "power": [*POSITIVE_PAIRS, (2.5, away(3)), (inside(3), np.array([0.0, 1.0, 2.0]))],
    **dict.fromkeys(
        (
            "negative",
            "positive",
            "exp",
            "exp2",
            "expm1",
            "square",
            "sin",
            "cos",
            "tan",
            "sinh",
            "cosh",
            "absolute",
            "sign",
            "arctan",
            "cbrt",
        ),
        ANY,
    ),
    **dict.fromkeys(("log", "log2", "log10", "log1p", "sqrt", "reciprocal", "arcsin", "arccos"), POSITIVE),
    "leaky_relu": [(away(3, 4), 0.01), (away(3), 0.3)],
    "matmul": [
        (away(3, 4), away(4, 2)),
        (away(4), away(4, 2)),
        (away(3, 4), away(4)),
        (away(4), away(4)),
        (away(2, 3, 4), away(4, 2)),
        (away(2, 3, 4), away(2, 4, 2)),
        (away(3, 4), away(2, 4, 2)),
        (away(2, 3, 4), away(4)),
        (away(4), away(2, 4, 2)),
        (away(2, 1, 3, 4), away(5, 4, 2)),
        (away(1, 1), away(1, 1)),
    ],
    "add_bias": [(away(3, 4), away(3, 1)), (away(3, 1), away(3, 1))],
    "linear": [
        (away(3, 4), away(4, 5), away(3, 1)),
        (away(3, 3), away(3, 3), away(3, 1)),
        (away(1, 1), away(1, 1), away(1, 1)),
    ],
    "einsum": [],  # its subscripts come first, so it is among the composed functions
    "softmax": [
        (away(3, 4), {"axis": 0}),
        (away(3, 4), {"axis": 1}),
        (away(4), {"axis": 0}),
        (away(2, 3, 4), {"axis": -2}),
    ],
    "log_softmax": [(away(3, 4), {"axis": 0}), (away(3, 4), {"axis": -1}), (away(2, 3, 4), {"axis": 1})],
    "cross_entropy": [(inside(3, 5), LABELS), (inside(3, 5), TARGETS)],
    **dict.fromkeys(ELEMENTWISE_LOSSES, [(away(3, 5), inside(3, 5))]),
    "squared_error": [(away(3, 5), away(3, 5) + 1)],
    "binary_cross_entropy": [(3 * away(3, 5), inside(3, 5)), (away(3, 5), (away(3, 5) > 0).astype(float))],
    "poisson": [(away(3, 5), np.arange(15.0).reshape(3, 5))],
    "softmax_cross_entropy": [(away(3, 5), LABELS), (5 * away(3, 5), TARGETS)],
    **{f"{name}_backward": [(away(5), inside(3, 5), inside(3, 5))] for name in ELEMENTWISE_LOSSES},
    "add_bias_backward": [(away(3, 4),), (away(3, 1),)],
    "sigmoid_gradient": [(away(3, 4), 3 * away(3, 4)), (away(4), away(2, 4))],
    "tanh_gradient": [(away(3, 4), 3 * away(3, 4)), (away(), away(2, 4))],
    "leaky_relu_backward": [(away(3, 4), away(3, 4), 0.01), (away(3), away(3), 0.3)],
    "maximum_backward": [(away(3, 4), away(3, 4), away(3, 4) + 0.013), (away(3, 4), away(4), away(3, 1) + 0.013)],
    "softmax_backward": [(away(3, 4), inside(3, 4)), (away(3, 4), inside(3, 4), {"axis": 1})]
    + [(away(4), inside(4), {"axis": 0}), (away(2, 3, 4), inside(2, 3, 4), {"axis": -2})],
    "cross_entropy_backward": [(away(5), inside(3, 5), LABELS), (away(5), inside(3, 5), TARGETS)],
    "softmax_cross_entropy_backward": [(away(5), inside(3, 5), LABELS), (away(5), inside(3, 5), TARGETS)],
    "where": [
        (away(3, 4) > 0, away(3, 4), away(3, 4)),
        (away(3, 4) > 0, away(4), 0.3),
        (away(3, 1) > 0, away(4), away(3, 1)),
    ],
    **dict.fromkeys(("sum", "mean", "max", "min"), REDUCED),
    "prod": [*REDUCED, (np.array([[0.0, 2.0], [3.0, 0.0], [0.5, 0.7]]), {"axis": 1}), (np.array([0.0, 2.0, 0.0]),)]
    + [(np.ones((0, 0)), {"axis": 0}), (np.ones((0, 2)), {"axis": 0})],
    "cumsum": [(away(3, 4),), (away(3, 4), {"axis": 0}), (away(3, 4), {"axis": -1})],
    "reshape": [(away(3, 4), {"shape": (2, 6)}), (away(3, 4), {"shape": -1}), (away(), {"shape": (1, 1)})],
    "ravel": [(away(3, 4),), (away(),)],
    "squeeze": [(away(3, 1, 4),), (away(1, 3, 1), {"axis": 0})],
    "expand_dims": [(away(3, 4), {"axis": 1}), (away(3), {"axis": (0, 2)})],
    "broadcast_to": [(away(3, 1), {"shape": (2, 3, 4)}), (away(), {"shape": (3,)})],
    "transpose": [(away(3, 4),), (away(2, 3, 4), {"axes": (2, 0, 1)}), (away(2, 3, 4),), (away(3),)]
    + [(away(2, 3, 4), {"axes": [-1, 0, 1]}), (away(2, 3, 4, 2), {"axes": (1, 2, 3, 0)})],
    "swapaxes": [(away(2, 3, 4), {"axis1": 0, "axis2": -1}), (away(2, 3, 4), {"axis1": 1, "axis2": 0})],
    "moveaxis": [
        (away(2, 3, 4), {"source": 0, "destination": -1}),
        (away(2, 3, 4), {"source": (2, 0), "destination": (0, 1)}),
    ],
    "getitem": [
        (away(3, 4), {"index": index})
        for index in (
            (1,),
            (slice(None), 2),
            (slice(None, None, -1), slice(1, 3)),
            (..., None, 0),
            (np.array([0, 0, 2]),),
            ([2, 2, 1], [0, 0, 3]),
            (np.array([[0, 1], [1, 1]]),),
            (slice(None), np.array([3, 3])),
            (away(3, 4) > 0,),
            (np.array([True, False, True]),),
            (np.array([0, 2]), slice(None, 2)),
            (1, np.array([0, 0])),
            (True,),
            (np.int64(1), -1),
        )
    ]
    + [(away(9, 80), {"index": (REPEATED,)})]  # large arrays take another path
    + [(away(2, 3, 4), {"index": (np.array([0, 0]), slice(None), np.array([1, 1]))}), (away(2), {"index": ()})],
    "scatter": [
        (away(3), {"indices": np.array([0, 4, 4]), "shape": (2, 3)}),
        (away(2, 2), {"indices": np.array([[5, 1], [0, 1]]), "shape": (6,)}),
        (away(), {"indices": np.array(2), "shape": (3,)}),
    ],
    "astype": [(away(2, 3), {"dtype": np.dtype(np.float64)})],
    "take": [
        (away(3, 4), {"indices": np.array([0, 0, 2]), "axis": 1}),
        (away(3, 4), {"indices": [5, 5]}),
        (away(3, 2, 4), {"indices": [[1, -1], [2, 1]], "axis": 0}),
        (away(3, 4), {"indices": 1, "axis": -2}),
        (away(3, 4), {"indices": np.array([True, False]), "axis": 0}),
        (away(), {"indices": [0, 0], "axis": 0}),
        (away(), {"indices": 0, "axis": -1}),
        (away(6), {"indices": [1, 1, -2], "axis": 0}),
        (away(6), {"indices": [[1, 1], [-2, 0]], "axis": 0}),
        *[(away(9, 10, 7), {"indices": REPEATED, "axis": axis}) for axis in (0, 1, -1)],  # large ones take another path
    ],
    "take_along_axis": [
        (away(3, 4), {"indices": np.array([[0, 0], [1, 2], [3, 3]]), "axis": 1}),
        (away(3, 4), {"indices": np.array([[2, 0, 0, 1]]), "axis": 0}),
        (away(2, 3, 2), {"indices": np.array([[[1], [1], [-3]]]), "axis": 1}),
        (away(3, 4), {"indices": np.array([7, 7, 0]), "axis": None}),
    ],
    "diagonal": [
        (away(3, 4),),
        (away(2, 3, 3), {"offset": 1, "axis1": 1, "axis2": 2}),
        (away(4, 3), {"offset": -1}),
        (away(3, 4), {"offset": 1, "axis1": 1, "axis2": 0}),
        (away(3, 2, 4), {"axis1": -1, "axis2": 0}),
    ],
    "flip": [(away(3, 4),), (away(3, 4), {"axis": 1}), (away(2, 3, 4), {"axis": (0, -1)})],
    "roll": [
        (away(3, 4), {"shift": 2}),
        (away(3, 4), {"shift": 1, "axis": 1}),
        (away(3, 4), {"shift": (1, -2), "axis": (0, 1)}),
    ],
    "rot90": [(away(3, 4),), (away(3, 4), {"k": 2}), (away(2, 3, 4), {"k": -1, "axes": (2, 0)})],
    "tile": [(away(3, 2), {"reps": (2, 3)}), (away(3, 2), {"reps": 2}), (away(2), {"reps": (2, 1, 3)})]
    + [(away(1, 3, 2), {"reps": (2, 1, 2)}), (away(2), {"reps": (1, 1)})],
    "repeat": [
        (away(3, 2), {"repeats": 2}),
        (away(3, 2), {"repeats": [1, 0, 2], "axis": 0}),
        (away(2, 3, 2), {"repeats": 3, "axis": 1}),
        (away(3, 2), {"repeats": 2, "axis": -1}),
        (away(), {"repeats": 2, "axis": 0}),
        (away(), {"repeats": 2}),
    ],
    "concatenate": [],
    "stack": [],
}

EXAMPLES |= more_examples()
CONSTANT |= MORE_CONSTANTS

PRODUCTS = [("ij,jk->ik", (2, 3), (3, 4)), ("ij,kj->ik", (2, 3), (4, 3)), ("ji,jk->ik", (3, 2), (3, 4)),
            ("ji,kj->ik", (3, 2), (4, 3)), ("ij,jk->ki", (2, 3), (3, 4)), ("ij,kj->ki", (2, 3), (4, 3)),
            ("ji,jk->ki", (3, 2), (3, 4)), ("ji,kj->ki", (3, 2), (4, 3))]  # fmt: skip
COMPOSED = {  # function -> a list of (call, operand, ...): the call gets the operands as Nodes or as arrays
    np.var: [
        (np.var, away(3, 4)),
        (lambda x: np.var(x, 0, ddof=1), away(3, 4)),
        (lambda x: x.var(axis=1, keepdims=True), away(3, 4)),
    ],
    np.std: [(np.std, away(3, 4)), (lambda x: x.std(axis=0, ddof=1), away(3, 4))],
    np.clip: [
        (lambda x: np.clip(x, -0.5, 0.5), away(3, 4)),
        (lambda x: x.clip(max=0.3), away(3, 4)),
        (lambda x: np.clip(x, a_min=-0.3, a_max=None), away(3, 4)),
        (np.clip, away(5), away(5) - 0.4, away(5) + 0.41),
    ],
    np.concatenate: [
        (lambda x, y: np.concatenate([x, y]), away(3), away(2)),
        (lambda x, y: np.concatenate([x, y, y, x]), away(3), away(2)),
        (lambda x, y: np.concatenate((x, y, x), 1), away(2, 3), away(2, 1)),
        (lambda x, y: np.concatenate((x, y, x), -2), away(3, 2), away(1, 2)),
        (lambda x, y: np.concatenate([x, y], axis=None), away(2, 3), away(2)),
    ],
    np.stack: [
        (lambda x, y: np.stack([x, y]), away(3), away(3)),
        (lambda x, y: np.stack((x, y), axis=-1), away(2, 3), away(2, 3)),
        (lambda x, y: np.stack((x, y, x), axis=1), away(2, 3), away(2, 3)),
        (lambda x, y: np.stack([x, y]), away(), away()),
    ],
    np.einsum: [
        (lambda x, y: np.einsum("ij,jk->ik", x, y), away(2, 3), away(3, 2)),
        (lambda x, y: np.einsum("ij,jk", x, y), away(2, 3), away(3, 2)),
        (lambda x: np.einsum("ij->j", x), away(2, 3)),
        (lambda x, y: np.einsum("ij,k->k", x, y), away(2, 3), away(4)),
        (lambda x, y, z: np.einsum("nr,qr,q->rnq", x, y, z), away(2, 3), away(4, 3), away(4)),
        (lambda x, y: np.einsum("ij,ij->ij", x, y), away(2, 3), away(2, 3)),
        (lambda x, y: np.einsum("ij,jk->ij", x, y), away(2, 3), away(3, 2)),
        (lambda x, y: np.einsum("ij,jk->ik", x, y), away(2, 1), away(3, 2)),  # axes of length 1 are broadcast
        (lambda x, y: np.einsum("ij,ij->i", x, y), away(1, 3), away(2, 1)),
        *[(lambda x, y, s=s: np.einsum(s, x, y), away(*x), away(*y)) for s, x, y in PRODUCTS],
        *[
            (lambda x, y, s=s: np.einsum(s, x, y), away(3, 3), away(3, 3))
            for s in ("ij,ij->ij", "ij,jk->ij", "ij,jk->jk", *(s for s, *_ in PRODUCTS))
        ],
    ],
}


def split(example):
    return (example[:-1], example[-1]) if isinstance(example[-1], dict) else (example, {})


def functions_of(name):
    """The functions of a row, as a user calls them."""
    found = [
        f for table in (UFUNCS, FUNCTIONS) for f, rule in table.items() if isinstance(rule, Rule) and rule.name == name
    ]
    calls = {
        "getitem": lambda A, index: A[index],
        "astype": lambda A, dtype: A.astype(dtype),
        "logsumexp": np.logaddexp.reduce,
    }
    return [calls[name]] if name in calls else found


def skipped(name, function, operands, params):
    """Whether this function of the row does not take this example."""
    if name in LOSSES and (np.ndim(operands[-1]) == 2) != ("targets" in function.__name__):
        return True
    matrices = function.__name__.endswith("_columns")
    if name == "softmax_backward" and not (matrices or params):
        return True  # the generalised ufunc's default axis is the last
    return matrices and (bool(params) or np.ndim(operands[0]) != 2)  # a ufunc of columns takes only matrices


def central(f, x, h=1e-6):
    """df/dx by central differences, of a number f."""
    x = np.array(x, dtype=np.float64)
    g = np.empty_like(x)
    for i in np.ndindex(x.shape):
        at = x[i]
        x[i] = at + h
        up = float(f(x))
        x[i] = at - h
        g[i] = (up - float(f(x))) / (2 * h)
        x[i] = at
    return g


def assert_gradients(f, *operands, constant=()):
    """f of Nodes has f's values, and gradients as by finite differences, for one seed and for several at once."""
    free = [i for i in range(len(operands)) if i not in constant]
    nodes = [Node(x) if i in free else x for i, x in enumerate(operands)]
    y = f(*nodes)
    np.testing.assert_allclose(y.value, f(*operands), rtol=1e-14, atol=1e-14)
    seeds = 0.5 + rng.random((3, *y.shape))
    together = pullback(y, seeds)
    for seed, k in zip(seeds, range(3), strict=True):
        y.backward(seed)
        for i in free:
            x = nodes[i]
            assert x.grad.shape == x.shape and x.grad.dtype == x.dtype
            np.testing.assert_allclose(together[x][k], x.grad, rtol=1e-13, atol=1e-13)

            def cost(value, i=i, seed=seed):
                return np.sum(seed * f(*operands[:i], value, *operands[i + 1 :]))

            if k == 0:
                # central differences of step h: h²/6 f''' and eps/h of rounding are both below 1e-9 for these sizes
                np.testing.assert_allclose(x.grad, central(cost, operands[i]), rtol=1e-6, atol=2e-8)
        for i in free:  # as the only Node among plain arrays it gets the same gradient
            alone = Node(operands[i])
            f(*operands[:i], alone, *operands[i + 1 :]).backward(seed)
            np.testing.assert_allclose(alone.grad, nodes[i].grad, rtol=1e-14, atol=1e-14)


def test_every_row_has_examples():
    of_scipy = getattr(sys.modules.get("nnc.autodiff.special"), "ROWS", set())  # their examples are in test_scipy
    assert set(EXAMPLES) == RULES.keys() - of_scipy - {"weighted_logsumexp"}
    assert all(functions_of(name) for name in RULES)


@pytest.mark.parametrize("name", [name for name in RULES if EXAMPLES.get(name)])
def test_gradients_of_a_row(name):
    for function in functions_of(name):
        for example in EXAMPLES[name]:
            operands, params = split(example)
            if skipped(name, function, operands, params):
                continue
            assert_gradients(lambda *xs, f=function, p=params: f(*xs, **p), *operands, constant=CONSTANT.get(name, ()))


@pytest.mark.parametrize("function", COMPOSED, ids=lambda f: f.__name__)
def test_gradients_of_a_composed_function(function):
    for call, *operands in COMPOSED[function]:
        assert_gradients(call, *operands)


@pytest.mark.parametrize("name", [name for name in RULES if EXAMPLES.get(name)])
def test_a_wrong_gradient_fails_the_test_of_its_row(name, monkeypatch):
    """The test above fails if a gradient is off by a thousandth, for any row and operand."""
    for i, vjp in enumerate(RULES[name].vjps):
        if vjp is None:
            continue

        def off(g, C, *operands, vjp=vjp, i=i, **params):
            c = vjp(g, C, *operands, **params)
            c = np.zeros(g.shape[: g.ndim - C.ndim] + operands[i].shape) if c is None else c
            return c + 1e-3 * (1 + abs(c))

        wrong = list(RULES[name].vjps)
        wrong[i] = off

        def with_wrong_vjps(right, wrong=tuple(wrong)):
            return lambda row, *args: right(
                replace(row, vjps=wrong) if isinstance(row, Rule) and row.name == name else row, *args
            )

        with monkeypatch.context() as patch:
            for call in ("_apply", "_call"):
                patch.setattr(nnc.autodiff.node, call, with_wrong_vjps(getattr(nnc.autodiff.node, call)))
            for table in (UFUNCS, FUNCTIONS):  # for direct calls
                for function in [f for f, rule in table.items() if isinstance(rule, Rule) and rule.name == name]:
                    patch.setitem(table, function, replace(table[function], vjps=tuple(wrong)))
            with pytest.raises(AssertionError):
                test_gradients_of_a_row(name)


def gradients(y, nodes, seed, create_graph=False):
    """The gradients of the nodes, or None if backward raises the error that an array has changed."""
    try:
        y.backward(seed, create_graph=create_graph)
    except RuntimeError as error:
        assert "has changed after" in str(error)
        return None
    return [np.array(getattr(x.grad, "value", x.grad)) for x in nodes]


def undetected_writes(name):
    """The number of writes into an operand after the forward pass that backward accepts; gradients must not change."""
    accepted = 0
    for function in functions_of(name):
        for example in EXAMPLES[name]:
            operands, params = split(example)
            if skipped(name, function, operands, params):
                continue
            constant, n = CONSTANT.get(name, ()), len(operands)
            for free in [range(n), *([i] for i in range(n))]:
                arrays = [np.array(x) for x in operands]
                nodes = [Node(x) if i in free and i not in constant else x for i, x in enumerate(arrays)]
                leaves = [x for x in nodes if isinstance(x, Node)]
                if not leaves:
                    continue
                y = function(*nodes, **params)
                seed = 0.5 + rng.random(y.shape)
                for create_graph in (False, True)[: 1 + (RULES[name].vjps_of_nodes is not None)]:
                    right = gradients(y, leaves, seed, create_graph)
                    for array in arrays:
                        saved = array.copy()
                        array[...] = 1 - saved if array.dtype.kind in "biu" else saved * 0.9 + 0.05
                        got = gradients(y, leaves, seed, create_graph)
                        array[...] = saved
                        if got is None or np.array_equal(saved, saved * 0.9 + 0.05):
                            continue
                        accepted += 1
                        for g, r in zip(got, right, strict=True):
                            np.testing.assert_array_equal(g, r)
    return accepted


@pytest.mark.parametrize("name", [name for name in RULES if EXAMPLES.get(name)])
def test_a_write_into_an_operand_is_an_error_or_does_not_change_the_gradient(name):
    undetected_writes(name)


def test_operands_that_no_gradient_reads_may_be_overwritten():
    assert all(map(undetected_writes, ("add", "linear", "matmul", "multiply", "exp", "relu", "reshape", "transpose",
                                  "getitem", "take", "sum", "mean", "cumsum", "swapaxes", "moveaxis", "flip", "rot90",
                                  "log_softmax")))  # fmt: skip


@pytest.mark.parametrize("name", ["multiply", "matmul", "log", "sin", "max", "power", "solve"])
def test_a_row_that_misses_an_operand_in_its_reads_fails(name, monkeypatch):
    for table in (UFUNCS, FUNCTIONS):
        for function in [f for f, rule in table.items() if isinstance(rule, Rule) and rule.name == name]:
            monkeypatch.setitem(table, function, replace(table[function], reads=0))
    monkeypatch.setitem(RULES, name, replace(RULES[name], reads=0))
    with pytest.raises((AssertionError, IndexError, ValueError)):
        undetected_writes(name)


@pytest.mark.parametrize("f", [np.max, np.min, np.ptp])
def test_the_gradient_of_a_maximum_of_nan_is_nan(f):
    """Which element is the maximum is undefined, and a gradient of 0 would hide the NaN. JAX does the same."""
    A = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, 2.0]])
    for dtype in (np.float32, np.float64):
        x = A.astype(dtype)
        assert np.isnan(nnc.grad(f)(x)).all()
        for keepdims in (False, True):
            g = nnc.grad(lambda x, keepdims=keepdims: np.sum(f(x, axis=1, keepdims=keepdims)))(x)
            assert np.isnan(g[0]).all() and sorted(np.abs(g[1])) in ([0, 0, 1], [0, 1, 1]) and g.dtype == dtype
            J = nnc.jacobian(lambda x, keepdims=keepdims: f(x, axis=1, keepdims=keepdims))(x).reshape(2, 2, 3)
            np.testing.assert_array_equal(J[[0, 1], [0, 1]], g)
        h = nnc.hvp(lambda x: np.sum(f(x, axis=0) ** 2))(x, np.ones_like(x))
        assert np.isnan(h[:, 1]).all() and np.isfinite(h[:, [0, 2]]).all() and h.dtype == dtype
    assert np.isnan(nnc.grad(f)(np.nan))


# ---- the table ------------------------------------------------------------------------------------------------------


def test_every_row_has_its_latex():
    parts = {"0": "A", "1": "B", "2": "C", "out": "O", "g": "G", "r": "5", "shape0": "s", "ones0": "1"}
    for rule in RULES.values():
        assert rule.latex and len(rule.vjps_latex) == (1 if rule.takes else len(rule.vjps))
        for latex, vjp in zip(rule.vjps_latex, rule.vjps, strict=False):
            assert (latex is None) == (vjp is None)
        for latex in (rule.latex, *filter(None, rule.vjps_latex)):
            text = write(latex, parts, parts)
            assert text.count("{") == text.count("}") and not any("{" + key + "}" in text for key in ("0", "g", "out"))


def test_a_new_operation_is_one_row(monkeypatch):
    for table in ("RULES", "UFUNCS", "FUNCTIONS"):
        monkeypatch.setattr(nnc.autodiff.operations, table, new := dict(getattr(nnc.autodiff.operations, table)))
        if hasattr(nnc.autodiff.node, table):
            monkeypatch.setattr(nnc.autodiff.node, table, new)
    with pytest.raises(TypeError, match="nextafter"):
        np.nextafter(Node(1.0), 2.0)
    row("nextafter", np.nextafter, "{0}", (lambda g, C, A, B: g, "{g}"), None)
    assert_gradients(np.nextafter, away(3), 2.0, constant=[1])
    assert np.nextafter(Node(1.0), 2.0).op == "nextafter"
