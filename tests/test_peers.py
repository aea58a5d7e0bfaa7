"""The graph compared with HIPS autograd, JAX and PyTorch, where they are installed; random expressions.

All of it in float64, so that the tolerance is that of rounding.
"""

import importlib.metadata
import io
import re
from contextlib import redirect_stdout

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_derivatives import GRADIENTS, PAIRED, forward, tree
from test_rules import CONSTANT, EXAMPLES, away, central, functions_of, split
from test_rules import LABELS as y

import nnc
from nnc import Node

RTOL, ATOL = 1e-11, 1e-12  # a dozen operations on numbers of order 1, in float64


def autograd():
    anp = pytest.importorskip("autograd.numpy")
    from autograd import grad

    def gradients(f, operands, free, seed):
        return [np.asarray(grad(lambda *xs: anp.sum(seed * f(*xs)), i)(*operands)) for i in free]

    return anp, gradients


def jax():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)

    def gradients(f, operands, free, seed):
        return [np.asarray(g) for g in jax.grad(lambda *xs: (seed * f(*xs)).sum(), tuple(free))(*operands)]

    return jax.numpy, gradients


NN = {  # nnc's primitives in JAX
    "relu": lambda jax: jax.nn.relu,
    "leaky_relu": lambda jax: jax.nn.leaky_relu,
    "sigmoid": lambda jax: jax.nn.sigmoid,
    "softmax": lambda jax: jax.nn.softmax,
    "log_softmax": lambda jax: jax.nn.log_softmax,
    "add_bias": lambda jax: lambda Z, b: Z + b,
    "linear": lambda jax: lambda W, X, b: W @ X + b,
    "getitem": lambda jax: lambda A, index: A[index],
}


# The end of the slice of a row's examples that autograd differentiates correctly.
END_FOR_AUTOGRAD = {"where": 1, "prod": -4, "transpose": -2, "tile": 1, "repeat": 2}


def peer_function(library, name):
    """The other library's function for this row; skips the test if there is none."""
    if name in NN:
        return NN[name](pytest.importorskip("jax")) if "jax" in library.__name__ else pytest.skip("no such primitive")
    ours = functions_of(name)[-1].__name__
    return getattr(library, ours, None) or pytest.skip(f"{library.__name__} has no {ours}")


def as_arrays(params):
    """JAX takes no lists as indices."""
    if isinstance(params, dict):
        return {key: as_arrays(value) if key in ("index", "indices") else value for key, value in params.items()}
    if isinstance(params, tuple):
        return tuple(as_arrays(value) for value in params)
    return np.asarray(params) if isinstance(params, list) else params


@pytest.mark.parametrize("peer", [autograd, jax])
@pytest.mark.parametrize("name", [name for name in EXAMPLES if EXAMPLES[name] and "cross_entropy" not in name])
def test_rows_match_autograd_and_jax(peer, name):
    library, gradients = peer()
    function = peer_function(library, name)
    compared = 0
    end = 3 if peer is jax else END_FOR_AUTOGRAD.get(name)  # JAX compiles each example
    for example in EXAMPLES[name][:end]:
        operands, params = split(example)
        operands = [np.asarray(x) for x in operands]
        free = [i for i in range(len(operands)) if i not in CONSTANT.get(name, ())]
        nodes = [Node(x) if i in free else x for i, x in enumerate(operands)]
        result = functions_of(name)[-1](*nodes, **params)
        seed = 0.5 + away(*result.shape) ** 2
        result.backward(seed)
        params = as_arrays(params)
        try:
            g = gradients(lambda *xs, p=params: function(*xs, **p), operands, free, seed)
        except (TypeError, NotImplementedError, AttributeError):  # an argument or a case that the library lacks
            continue
        for i, right in zip(free, g, strict=True):
            np.testing.assert_allclose(nodes[i].grad, right, rtol=RTOL, atol=ATOL)
        compared += 1
    if not compared:
        pytest.skip(f"{library.__name__} supports none of the examples")


@pytest.mark.parametrize("name", ["maximum", "minimum", "max", "min", "clip"])
def test_ties_match_jax(name):
    jnp, gradients = jax()
    x, z = np.array([1.0, 2.0, 2.0, 0.0, 2.0]), np.array([1.0, 0.0, 2.0, 3.0, 1.0])
    cases = {"max": (x,), "min": (np.maximum(x, 1),), "clip": (x, 1.0, 2.0)}.get(name, (x, z))
    nodes = [Node(a) for a in cases]
    result = getattr(np, name)(*nodes)
    seed = np.ones(result.shape)
    result.backward(seed)
    for node, right in zip(nodes, gradients(getattr(jnp, name), cases, range(len(cases)), seed), strict=True):
        np.testing.assert_array_equal(node.grad, right)


@pytest.mark.parametrize("weight", [None, "soft"])
def test_cross_entropy_matches_torch(weight):
    torch = pytest.importorskip("torch")
    Z, targets = 3 * away(3, 5), np.full((3, 5), 0.2) + 0.4 * np.eye(3)[:, y]
    node, tensor = Node(Z), torch.tensor(Z.T, requires_grad=True)
    L = nnc.softmax_cross_entropy(node, targets if weight else y)
    M = torch.nn.functional.cross_entropy(tensor, torch.tensor(targets.T if weight else y), reduction="none")
    seed = 0.5 + away(5) ** 2
    L.backward(seed)
    M.backward(torch.tensor(seed))
    np.testing.assert_allclose(L.value, M.detach().numpy(), rtol=RTOL)
    np.testing.assert_allclose(node.grad, tensor.grad.numpy().T, rtol=RTOL, atol=ATOL)
    P = nnc.softmax(node)  # the loss of 5.1 on probabilities gives the same
    nnc.cross_entropy(P, targets if weight else y).backward(seed)
    np.testing.assert_allclose(node.grad, tensor.grad.numpy().T, rtol=RTOL, atol=ATOL)


def test_three_layers_match_torch():
    torch = pytest.importorskip("torch")
    v, y = tree()
    t = forward(v, y)
    t["L"].mean().backward()
    u = {name: torch.tensor(value, requires_grad=True) for name, value in v.items()}
    A = u["X"]
    for i in (1, 2, 3):
        u[f"Z{i}"] = u[f"W{i}"] @ A + u[f"b{i}"]
        u[f"A{i}"] = A = torch.tanh(u[f"Z{i}"])
    for node in u.values():
        node.retain_grad()
    torch.nn.functional.cross_entropy(u["Z3"].T, torch.tensor(y)).backward()
    for name in GRADIENTS:
        np.testing.assert_allclose(t[name].grad, u[name].grad.numpy(), rtol=RTOL, atol=ATOL)


def test_jacobians_match_jax():
    jnp, _ = jax()
    from jax import jacrev

    v, y = tree()
    t = forward(v, y)
    R = len(y)

    def losses(name, x):
        u = {**v, name: x}
        A = u["X"]
        for i in (1, 2, 3):
            Z = u[f"W{i}"] @ A + u[f"b{i}"]
            A = jnp.tanh(Z)
        return -jnp.log(jnp.exp(Z) / jnp.exp(Z).sum(0))[y, jnp.arange(R)]

    for name in ("W1", "b1", "W2", "b3", "X"):
        full = np.asarray(jacrev(lambda x, name=name: losses(name, x))(v[name]))
        np.testing.assert_allclose(nnc.jacobian(t["L"], t[name]), full, rtol=RTOL, atol=ATOL)
        own = np.stack([full[i, :, i] for i in range(R)]) if name in PAIRED else full
        np.testing.assert_allclose(nnc.jacobian(t["L"], t[name], per_example=True), own, rtol=RTOL, atol=ATOL)


def test_value_and_grad_matches_jax():
    jnp, _ = jax()
    from jax import value_and_grad

    W, x, p = away(2, 3), away(3), {"scale": 2.0, "shift": [away(2), 1.5]}

    def f(np_):
        return lambda W, x, p: np_.sum(np_.tanh(W @ x + p["shift"][0]) ** 2) * p["scale"] + p["shift"][1]

    for argnums in (0, 1, 2, (0, 1), (2, 0), (1,), -1):
        value, g = nnc.value_and_grad(f(np), argnums)(W, x, p)
        right_value, right = value_and_grad(f(jnp), argnums)(W, x, p)
        np.testing.assert_allclose(value, right_value, rtol=RTOL)
        from jax import tree

        assert tree.structure(g) == tree.structure(right)
        for a, b in zip(tree.leaves(g), tree.leaves(right), strict=True):
            assert np.shape(a) == np.shape(b)
            np.testing.assert_allclose(a, b, rtol=RTOL, atol=ATOL)


# ---- the peers' own examples, from their installed READMEs ----------------------------------------------------------


def readme_of(package, marker):
    pytest.importorskip(package)
    page = importlib.metadata.metadata(package)
    text = page.get_payload() or page["Description"]
    return next(code for code in re.findall(r"```python\n(.*?)```", text, re.S) if marker in code)


def test_the_example_of_micrograd():
    """Only the import and the constructor are changed; comments in the example say what it prints."""
    code = readme_of("micrograd", "backward()")
    code = re.sub(r"from micrograd.engine import Value", "from nnc import Node", code).replace("Value(", "Node(")
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(code, {})
    expected = re.findall(r"print\(.*# prints (\S+?),", code)
    assert len(expected) == 3 and printed.getvalue().split() == expected


def test_the_example_of_autograd():
    code = readme_of("autograd", "grad_tanh")
    lines = [line[4:] for line in code.splitlines() if line.startswith((">>> ", "... "))]
    source = "\n".join(lines).replace("autograd.numpy", "numpy").replace("from autograd import", "from nnc import")
    scope = {}
    exec(source, scope)
    assert float(scope["grad_tanh"](1.0)) == pytest.approx(1 - np.tanh(1.0) ** 2, rel=1e-14)
    assert source.count("import") == 2


# ---- random expressions ---------------------------------------------------------------------------------------------

UNARY = [
    np.tanh,
    np.sin,
    np.exp,
    np.square,
    lambda x: x.T,
    lambda x: -x,
    lambda x: x[::-1],
    lambda x: x.sum(axis=-1, keepdims=True),
    lambda x: x.mean(axis=0),
    lambda x: np.logaddexp(x, 0.3),
    lambda x: np.cumsum(x, -1),
    lambda x: x * 0.5,
]
PAIRWISE = [
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: x * y,
    lambda x, y: x / (1 + y * y),
    np.logaddexp,
    np.hypot,
    lambda x, y: x @ y.T,
    lambda x, y: np.stack([x, y]).sum(0),
    lambda x, y: np.maximum(x, y + 10),
]


@given(st.data())
def test_random_expressions_match_finite_differences(data):
    shapes = [(2, 3), (1, 3), (2, 1), (3,), (), (2, 3)]
    leaves = [np.sin(1.0 + 17 * i + np.arange(np.prod(s, dtype=int)).reshape(s)) + 0.1 for i, s in enumerate(shapes)]
    plan = data.draw(
        st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=12)
    )

    def expression(*values):
        values = list(values)
        for op, i, j in plan:
            x, y = values[-1 - i % len(values)], values[-1 - j % len(values)]
            f = [*UNARY, *PAIRWISE][op % (len(UNARY) + len(PAIRWISE))]
            try:
                z = f(x) if f in UNARY else f(x, y)
            except (ValueError, IndexError, TypeError, np.exceptions.AxisError):
                continue  # the shapes do not fit
            if np.max(np.abs(z.value if isinstance(z, Node) else z)) < 50:
                values.append(z)
        return sum(np.mean(v) for v in values[len(leaves) :]) + 0.0 * np.sum(values[0])

    nodes = [Node(x) for x in leaves]
    J = expression(*nodes)
    np.testing.assert_allclose(J.value, expression(*leaves), rtol=1e-12)
    J.backward()
    for i, node in enumerate(nodes):
        right = central(lambda x, i=i: expression(*leaves[:i], x, *leaves[i + 1 :]), leaves[i], 1e-5)
        g = np.zeros(node.shape) if node.grad is None else node.grad
        np.testing.assert_allclose(g, right, rtol=2e-5, atol=2e-5 * (1 + np.max(np.abs(right))))
