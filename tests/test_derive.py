"""The chain rule that `derive` writes: right numbers and names, LaTeX that compiles, residuals that show errors."""

import logging
import re
import string
from dataclasses import replace
from functools import lru_cache

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_rules import CONSTANT, EXAMPLES, functions_of, skipped, split

import nnc
from nnc import derive
from nnc import functional as F
from nnc.autodiff.operations import RULES, write
from nnc.display.names import Names
from nnc.display.notation import latex_text, number_latex

mathtext = pytest.importorskip("matplotlib.mathtext")


@lru_cache(None)  # the rules' examples share many formulas, and parsing takes 30 ms
def compiles(latex):
    """Parse under matplotlib's mathtext, which raises ValueError for what it does not support."""
    mathtext.MathTextParser("path").parse(f"${latex}$")


def net(widths=(6, 5, 4, 3), r=5, f=F.relu, dtype=np.float64, fused=True):
    """The network of notes § 10, its parameters by name and the mean loss."""
    rng = np.random.default_rng(3)
    X = nnc.Node(rng.standard_normal((widths[0], r)).astype(dtype), name="X")
    p, A = {"X": X}, X
    for i in range(1, len(widths)):
        n, m = widths[i], widths[i - 1]
        W = p[f"W{i}"] = nnc.Node((rng.standard_normal((n, m)) * np.sqrt(2 / m)).astype(dtype), name=f"W{i}")
        b = p[f"b{i}"] = nnc.Node(rng.standard_normal((n, 1)).astype(dtype) / 10, name=f"b{i}")
        Z = F.linear(W, A, b) if fused else W @ A + b
        A = f(Z) if i < len(widths) - 1 else Z
    return F.softmax_cross_entropy(Z, np.arange(r) % widths[-1]).mean(), p


def page_7():
    w, x, b = nnc.Node(-2.0, name="w"), nnc.Node(5.0, name="x"), nnc.Node(3.0, name="b")
    t = w * x
    t.name = "t"
    z = t + b
    z.name = "z"
    return z, w, x, b


# ---- the notes -------------------------------------------------------------------------------------------------------


def test_page_7_is_written_as_in_the_notes():
    z, w, x, b = page_7()
    for node, value in ((w, 5), (x, -2), (b, 1)):
        assert derive(z, wrt=node).value == value
    assert derive(z, wrt=w).latex(residuals=False).splitlines() == [
        r"\frac{\partial z}{\partial z} = 1",
        r"\frac{\partial z}{\partial t} = \frac{\partial z}{\partial z} \cdot 1",
        r"\frac{\partial z}{\partial w} = \frac{\partial z}{\partial t} \cdot x",
    ]


def test_the_subscript_out_is_text():
    """It is also a key in the LaTeX of the table, which must not be replaced here."""
    W = nnc.Node(np.array([[1.0, 3.0], [2.0, 0.5]]), name="W_out")
    line = derive(W.max(), wrt=W).lines[-1]
    assert line.latex == (r"{\frac{\partial J}{\partial W_{\mathrm{out}}}}_{2\times 2} = \delta_{W_{\mathrm{out}} = J}")
    assert line.text == "∂J/∂W_out[2×2] = δ[W_out = J]"
    compiles(line.latex)


@pytest.mark.parametrize(
    ("f", "right"),
    [
        (lambda x: x.mean(), r"\frac{1}{5}\,\mathbf{1}_{5}"),
        (lambda x: x.sum(), r"\mathbf{1}_{5}"),
        (lambda x: x.prod(), r"\prod_{j \neq i} (x_{5})_j"),
        (lambda x: x @ np.ones(5), r"(X_{5})^T"),
        (lambda x: x[2], r"\mathrm{scatter}(1)"),
    ],
)
def test_the_factor_of_1_at_j_is_left_out(f, right):
    x = nnc.Node(np.arange(1.0, 6), name="x")
    _, line = derive(f(x), wrt=x)
    assert line.latex == rf"\frac{{\partial J}}{{\partial x}}_{{5}} = {right}" and line.residual < 1e-8
    compiles(line.latex)


def test_three_layers_are_written_as_in_the_notes():
    J, p = net((784, 200, 10), 64)
    lines = derive(J, wrt=p["W1"]).lines
    assert [line.latex for line in lines] == [
        r"\frac{\partial J}{\partial J} = 1",
        r"\frac{\partial J}{\partial L}_{64} = \frac{1}{64}\,\mathbf{1}_{64}",
        r"\frac{\partial J}{\partial z^2}_{10\times 64} = (\mathrm{softmax}(z^2_{10\times 64}) - Y_{10\times 64})"
        r" \circ \frac{\partial J}{\partial L}_{64}",
        r"\frac{\partial J}{\partial a^1}_{200\times 64} = (W^2_{10\times 200})^T\,"
        r"\frac{\partial J}{\partial z^2}_{10\times 64}",
        r"\frac{\partial J}{\partial z^1}_{200\times 64} = \frac{\partial J}{\partial a^1}_{200\times 64}"
        r" \circ \delta_{z^1 > 0}",
        r"\frac{\partial J}{\partial W^1}_{200\times 784} = \frac{\partial J}{\partial z^1}_{200\times 64}\,"
        r"(X_{784\times 64})^T",
    ]
    assert lines[-1].shapes == ((200, 784), (200, 64), (784, 64), (200, 1))
    assert lines[-1].shape == (200, 784) and lines[-1].node is p["W1"]
    bias = derive(J, wrt=p["b1"]).lines[-1].latex
    assert bias.endswith(r"= \sum_{j=1}^{64} \frac{\partial J}{\partial z^1}_{200\times 64}")


def test_str_has_one_line_per_step():
    J, p = net()
    last = str(derive(J, wrt=p["W1"])).splitlines()[-1]
    assert re.fullmatch(r"∂J/∂W¹\[5×6\] = ∂J/∂z¹\[5×5\] \(X\[6×5\]\)ᵀ +residual \d(\.\d)?e−\d+", last)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("f", [F.relu, F.sigmoid, np.tanh, F.leaky_relu])
def test_values_are_the_gradients_and_residuals_are_small(f, fused, dtype):
    J, p = net(f=f, fused=fused, dtype=dtype)
    J.backward()
    for node in p.values():
        derivation = derive(J, wrt=node)
        assert derivation.value.dtype == np.float64 and derivation.value.shape == node.shape
        eps = np.finfo(dtype).eps  # the gradient in the graph's dtype has about 30 rounding errors of numbers near 1
        np.testing.assert_allclose(derivation.value, node.grad, rtol=100 * eps, atol=100 * eps)
        # central differences with h = 6e-6 of J ≈ 1: rounding 1e-10 and truncation 1e-11, for gradients near 1e-2
        assert derivation.residual == max(line.residual for line in derivation)
        assert 0 < derivation.residual < 1e-7
        assert derivation.lines[-1].checked == min(node.size, 24)


def test_constant_arrays_are_named_and_numbers_written_out():
    W, b = nnc.Node(np.ones((2, 3)), name="W"), nnc.Node(np.zeros((2, 1)), name="b")
    J = np.mean((W @ np.ones((3, 4)) + b - 1) ** 2)
    text = str(derive(J, wrt=W))
    assert "(X[3×4])ᵀ" in text and "2 (z − 1)[2×4]^(2 − 1)" in text


def test_a_layer_written_as_a_product_plus_a_bias():
    J, p = net((6, 5, 3), fused=False)
    derivation = derive(J, wrt=p["X"])
    left, right = derivation.lines[-1].latex.split(" = ")
    assert left == r"\frac{\partial J}{\partial X}_{6\times 5}"
    assert right == r"(W^1_{5\times 6})^T\,\frac{\partial J}{\partial (W^1\,X)}_{5\times 5}"
    assert any(line.latex.startswith(r"\frac{\partial J}{\partial (W^2\,a^1)}_{3\times 5} = ") for line in derivation)


def test_the_gradient_of_a_broadcast_operand_is_written_as_a_sum():
    J, p = net(fused=False)
    *_, line = derive(J, wrt=p["b1"])
    assert line.latex.endswith(r"= \sum_{j=1}^{5} \frac{\partial J}{\partial z^1}_{5\times 5}")
    s, A = nnc.Node(2.0, name="s"), nnc.Node(np.ones((2, 3)), name="A")
    *_, line = derive(np.sum(s * A), wrt=s)
    product = r"\frac{\partial J}{\partial (s \circ A)}_{2\times 3} \circ A_{2\times 3}"
    assert line.latex.endswith(rf"= \sum_{{i,j}} \left({product}\right)")
    *_, line = derive(np.sum(nnc.Node([1.0, 2.0, 3.0], name="v") + A), wrt=A)
    assert r"\sum" not in line.latex


def test_a_gradient_of_zero_has_no_large_residual():
    """Relative to itself, a gradient of 1e-17 would have an error of 1."""
    W, x = nnc.Node(np.full((3, 2), 0.3), name="W"), nnc.Node([[0.1], [0.7]], name="x")
    line = derive(F.softmax_cross_entropy(W @ x, [1]).mean(), wrt=x).lines[-1]
    assert abs(line.value).max() < 1e-15 and line.residual < 1e-5


# ---- several paths ---------------------------------------------------------------------------------------------------


def test_every_path_has_a_line_and_their_sum_comes_last():
    a = nnc.Node(2.0, name="a")
    c = a * a
    c.name = "c"
    d = np.exp(a) * c + a
    d.name = "d"
    derivation = derive(d, wrt=a)
    paths = [line for line in derivation if line.node is a]
    assert [line.latex.split(" = ")[0] for line in paths] == [
        r"\left.\frac{\partial d}{\partial a}\right|_{d}",
        r"\left.\frac{\partial d}{\partial a}\right|_{(e^{a})}",
        r"\left.\frac{\partial d}{\partial a}\right|_{c,1}",
        r"\left.\frac{\partial d}{\partial a}\right|_{c,2}",
        r"\frac{\partial d}{\partial a}",
    ]
    e = np.exp(2.0)
    np.testing.assert_allclose([line.value for line in paths], [1, 4 * e, 2 * e, 2 * e, 1 + 8 * e], rtol=1e-14)
    exp = next(line.node for line in derivation if line.node.op == "exp")
    assert [line.through for line in paths] == [d, exp, c, c, None]
    assert derivation.residual < 1e-9
    for line in paths[:-1]:
        assert line.latex.split(" = ")[0] in paths[-1].latex


def test_both_operands_of_one_operation():
    a = nnc.Node(2.0, name="a")
    _, base, exponent, total = derive(a**a, wrt=a)
    np.testing.assert_allclose([base.value, exponent.value], [2 * 2, 4 * np.log(2)], rtol=1e-14)
    assert max(base.residual, exponent.residual, total.residual) < 1e-9


def test_a_weight_used_in_every_layer():
    W = nnc.Node(np.random.default_rng(0).standard_normal((4, 4)) / 2, name="W")
    x = np.full((4, 3), 0.1)
    for _ in range(3):
        x = np.tanh(W @ x)
    J = np.sum(x * x)
    J.backward()
    derivation = derive(J, wrt=W)
    assert sum(line.node is W for line in derivation) == 4
    np.testing.assert_allclose(derivation.value, W.grad, rtol=1e-12)
    assert derivation.residual < 1e-8


# ---- every rule ------------------------------------------------------------------------------------------------------


def graphs_of(name):
    """For each example of a row: a scalar J, the row's result, and the operands that are nodes."""
    for function in functions_of(name):
        for example in EXAMPLES[name]:
            operands, params = split(example)
            if skipped(name, function, operands, params):
                continue
            nodes = [x if i in CONSTANT.get(name, ()) else nnc.Node(x) for i, x in enumerate(operands)]
            y = function(*nodes, **params)
            weights = 0.5 + np.random.default_rng(1).random(y.shape)
            yield np.sum(y * weights), y, [x for x in nodes if isinstance(x, nnc.Node)]
    x, y = nnc.Node(np.arange(4.0) / 5), nnc.Node(np.ones(4) / 3)
    special = {"concatenate": np.concatenate, "stack": np.stack, "einsum": lambda xy: np.einsum("i,i->i", *xy)}
    if name in special:
        joined = special[name]([x, y])
        yield np.sum(joined * joined), joined, [x, y]


@pytest.mark.parametrize("name", RULES)
def test_every_rule_compiles_and_its_line_is_right(name):
    seen = False
    for J, y, nodes in graphs_of(name):
        for node in nodes:
            if not node.size:
                continue
            derivation = derive(J, wrt=node)
            seen = True
            for formula in (*derivation.latex(residuals=False).splitlines(), Names(J).forward(y)):
                compiles(formula)
            text = str(derivation)
            assert not set("\\{}$") & set(text), text
            assert derivation.residual < 1e-6 or name == "sign", text
            assert "_{}" not in derivation.latex() and "^{}" not in derivation.latex()
    assert seen


def python_of(latex):
    """A formula of numbers, in LaTeX, as Python."""
    braces = {
        r"\\frac\{([^{}]*)\}\{([^{}]*)\}": r"((\1)/(\2))",
        r"\\sqrt\{([^{}]*)\}": r"sqrt(\1)",
        r"\^\{([^{}]*)\}": r"**(\1)",
        r"\\delta_\{([^{}]*)\}": r"(\1)",
        r"\\mathrm\{(\w+)\}": r"\1",
        r"\\log_\{?(\d+)\}?": r"log\1",
        r"\|(\w)\|": r"abs(\1)",
    }
    before = None
    while latex != before:  # from the inside to the outside
        before = latex
        for pattern, python in braces.items():
            latex = re.sub(pattern, python, latex)
    latex = re.sub(r"\\ln(?=\W)", "log", latex).replace(r"\circ", "*").replace(r"\,", "*").replace("^", "**")
    latex = re.sub(r"\\([a-z]+)", r"\1", latex)
    return re.sub(rf"\b({'|'.join(FUNCTIONS)}) (\w+|\(\(.*?\)\))", r"\1(\2)", latex)


FUNCTIONS = "log log2 log10 sqrt sign sin cos tan sinh cosh tanh arcsin arccos arctan".split()
MEANING = {name: getattr(np, name) for name in FUNCTIONS} | {"e": np.e, "abs": abs, "max": max, "min": min}
MEANING |= {"relu": lambda z: max(z, 0), "sigma": lambda z: 1 / (1 + np.exp(-z))}
OF_NUMBERS = (
    "add subtract multiply divide power negative positive exp exp2 expm1 log log2 log10 log1p logaddexp sqrt cbrt "
    "square reciprocal absolute hypot sin cos tan sinh cosh arcsin arccos arctan arctan2 maximum minimum relu "
    "sigmoid tanh"
)


@pytest.mark.parametrize("name", OF_NUMBERS.split())
def test_the_latex_of_a_row_is_what_it_computes(name):
    rule = RULES[name]
    g, a, b = np.float64(1.7), np.float64(0.37), np.float64(0.53)
    operands = [a, b][: len(rule.vjps)]
    out = rule.forward(*operands)
    letters = {"g": "g", "out": "c"} | dict(zip("01", "ab"[: len(operands)], strict=False))
    gradients = [(text, vjp(g, out, *operands)) for text, vjp in zip(rule.vjps_latex, rule.vjps, strict=True)]
    for latex, value in [(rule.latex, out), *gradients]:
        python = python_of(write(latex, letters, letters))
        written = eval(python, MEANING | {"a": a, "b": b, "g": g, "c": out})
        np.testing.assert_allclose(written, value, rtol=1e-14, err_msg=f"{latex} is {python}")


def times(s, gradient):
    return None if gradient is None else s * gradient


@pytest.mark.parametrize("name", [name for name in RULES if name != "sign"])
def test_a_wrong_rule_has_a_large_residual_from_its_line_on(name):
    for J, y, nodes in graphs_of(name):
        if not nodes[0].size:
            continue
        position = next(i for i, x in enumerate(y.inputs) if x is nodes[0])
        vjps = [vjp for vjp, _ in zip(y._rule.vjps, y.inputs, strict=False)]
        vjps[position] = lambda g, *rest, right=vjps[position], **params: times(1.001, right(g, *rest, **params))
        y._rule = replace(y._rule, vjps=tuple(vjps))
        derivation = derive(J, wrt=nodes[0])
        if not derivation.value.any():
            continue
        wrong = [line.residual > 5e-4 for line in derivation]
        assert wrong == [False] * (len(wrong) - sum(wrong)) + [True] * sum(wrong) and wrong[-1], str(derivation)
        assert all(not w or line.node is nodes[0] for w, line in zip(wrong, derivation, strict=True)), str(derivation)


@pytest.mark.parametrize("fault", ["transposed", "sign", "missing 1/r", "one entry"])
def test_a_planted_fault_in_a_layer_shows_in_its_line(fault):
    J, p = net((4, 4, 3), 4)
    z1 = next(n for n in nnc.autodiff.node.ancestors(J) if any(x is p["W1"] for x in n.inputs))
    right = z1._rule.vjps[0]

    def wrong(*args, **params):
        dW = right(*args, **params)
        if fault == "one entry":
            dW[2, 1] += 0.01 * abs(dW).max()
        return {"transposed": dW.T, "sign": -dW, "missing 1/r": 4 * dW, "one entry": dW}[fault]

    z1._rule = replace(z1._rule, vjps=(wrong, *z1._rule.vjps[1:]))
    *above, last = derive(J, wrt=p["W1"])
    assert all(line.residual < 1e-7 for line in above)
    assert last.residual > 5e-3


def test_a_fault_in_one_entry_of_a_large_array_is_seen():
    """784 × 200 entries of which 24 are compared one by one: one direction through all of them covers the rest."""
    W = nnc.Node(np.random.default_rng(0).standard_normal((200, 784)), name="W")
    J = np.sum(W * W)
    square = J.inputs[0]
    right = square._rule.vjps[0]

    def wrong(g, C, A, B):
        g = np.array(right(g, C, A, B))
        g[17, 99] += 1000.0
        return g

    square._rule = replace(square._rule, vjps=(wrong, right))
    assert derive(J, wrt=W).residual > 1e-2


def test_derive_sets_no_grad_and_needs_none():
    J, p = net()
    J.backward()
    J.grad = p["W1"].grad = None
    assert derive(J, wrt=p["W1"]).residual < 1e-7
    assert J.grad is None and p["W1"].grad is None


# ---- kinks -----------------------------------------------------------------------------------------------------------


def test_entries_at_a_kink_are_left_out_and_counted():
    z = nnc.Node([0.0, 1.0, -1.0], name="z")
    derivation = derive(F.relu(z).sum(), wrt=z)
    assert derivation.lines[-1].checked == 2 and derivation.lines[-1].skipped == 1
    assert derivation.residual < 1e-9
    assert "1 at a kink left out" in str(derivation)
    only = nnc.Node(0.0, name="z")
    last = derive(F.relu(only), wrt=only).lines[-1]
    assert np.isnan(last.residual) and (last.checked, last.skipped) == (0, 1)


def test_a_smooth_function_is_never_taken_for_a_kink():
    for f in (lambda x: np.sum(x**4), lambda x: np.sum(np.exp(3 * x)), lambda x: x @ x):
        x = nnc.Node([0.0, 1.0, -0.3, 1e-3])
        J = nnc.custom(f, lambda g, out, x: g * np.ones(4))(x)  # wrong, so that derive looks for a kink
        line = derive(J, wrt=x).lines[-1]
        assert (line.checked, line.skipped) == (4, 0) and line.residual > 0.1


def test_a_kink_within_the_step_of_the_difference_is_seen():
    x = nnc.Node([1e-6])
    line = derive(np.abs(x).sum(), wrt=x).lines[-1]
    assert (line.checked, line.skipped) == (0, 1)


# ---- names, numbers, LaTeX -------------------------------------------------------------------------------------------


def names_in(derivation):
    """What the lines are derivatives with respect to, as text."""
    return [re.match(r"∂\w+/∂(.+?)(?:\[[\d×]+\])? =", line)[1] for line in str(derivation).splitlines()]


def test_names_by_part_and_by_expression():
    W1, b1, W2 = (nnc.Node(np.ones(s), name=n) for s, n in [((3, 2), "W1"), ((3, 1), "b1"), ((2, 3), "W2")])
    z1 = F.add_bias(F.matmul(W1, np.ones((2, 4))), b1)
    a1 = F.sigmoid(z1)
    P = F.softmax(W2 @ a1)
    L = F.cross_entropy(P, [0, 1, 0, 1])
    assert names_in(derive(L.mean(), wrt=W1)) == ["J", "L", "P", "(W² a¹)", "a¹", "z¹", "(W¹ X)", "W¹"]


def test_no_two_nodes_share_a_name():
    x, y = nnc.Node(0.2, name="x"), nnc.Node(0.5, name="x")
    J = (x + y) * np.exp(np.exp(np.exp(x * y * x * y))) + nnc.Node(2.0) + nnc.Node(3.0)
    for node, name in ((x, "x"), (y, "x_2")):
        derivation = derive(J, wrt=node)
        left = [line.latex.split(" = ")[0] for line in derivation]
        assert len(set(left)) == len(left)
        assert left[-1] == rf"\frac{{\partial J}}{{\partial {name}}}"


def test_abbreviations_are_explained():
    x = nnc.Node(0.5, name="x")
    derivation = derive(np.log(np.exp(x * x * x) + x * x), wrt=x)
    assert derivation.where
    for formula in derivation.where:
        compiles(formula)
        assert formula in derivation.latex() and latex_text(formula) in str(derivation)


@given(st.text(max_size=12))
@hypothesis.example(string.printable)
@hypothesis.example("𝔚")
def test_any_name_compiles(name):
    logging.getLogger("matplotlib.mathtext").setLevel(logging.ERROR)  # a letter missing from the font does not matter
    x = nnc.Node(np.full((5, 3), 0.5), name=name)
    derivation = derive(x.sum(), wrt=x)
    latex = derivation.lines[-1].latex
    compiles(latex)
    assert "\n" not in derivation.lines[-1].text
    assert not re.search(r"&|~|(?<!\\)[%#$]", latex), "these are special characters of LaTeX"


@given(st.floats())
def test_any_number_compiles(x):
    compiles(number_latex(x, 2))


def test_latex_for_a_paper_and_for_a_notebook():
    z, w, _, _ = page_7()
    derivation = derive(z, wrt=w)
    block = derivation.latex(aligned=True)
    assert block.startswith("\\begin{aligned}\n") and block.endswith("\n\\end{aligned}")
    assert block.count(r"\\") == len(derivation) - 1 and block.count("&=") == len(derivation)
    shown = derivation._repr_latex_()
    assert re.fullmatch(r"\$\$[^$]+\$\$", shown), "one formula: some notebook viewers show a second one as text"
    lines = shown.splitlines()[2:-2]
    assert len(lines) == len(derivation)
    for line in lines:
        compiles(line.replace("&", "").removesuffix(r"\\"))
        assert re.search(r"\\mathrm\{residual\}\\ \d(\.\d)?\\cdot 10\^\{-\d+\}", line)


# ---- errors ----------------------------------------------------------------------------------------------------------


def test_wrong_arguments_are_errors():
    z, w, _, _ = page_7()
    other = nnc.Node(1.0, name="W9")
    vector = nnc.Node([1.0, 2.0])
    for args, error, message in [
        ((1.0, w), TypeError, "derive: J is a float, but must be an nnc.Node"),
        ((z, -2.0), TypeError, "derive: wrt is a float, but must be an nnc.Node"),
        ((vector * vector, vector), ValueError, r"derive: J is \(2,\), but must be a scalar: take J.mean\(\) or J.sum"),
        ((z, other), ValueError, "derive: J was not computed from 'W9'; it must be the very node"),
        ((w, z), ValueError, "derive: J was not computed from 'z'"),
    ]:
        with pytest.raises(error, match=message):
            derive(*args)
    assert derive(z, wrt=z).value == 1


def test_a_deep_graph_is_an_error_and_does_not_hang():
    x = y = nnc.Node(0.5, name="x")
    for _ in range(20_000):
        y = y * 1.0
    with pytest.raises(ValueError, match=r"derive: there are 20,001 nodes between J and wrt, more than the 200"):
        derive(y, wrt=x)


# ---- the same as NumPy code ------------------------------------------------------------------------------------------


def code_gives_the_gradient(J, wrt, leaves):
    """Run the code with only NumPy and the parameters, and compare it with differences of its forward pass."""
    code = nnc.derive(J, wrt=wrt).code()
    values = {leaf.name: leaf.value for leaf in leaves}

    def run(value):
        space = {"np": np, **values, wrt.name: value}
        exec(code, space)
        return space

    space, x = run(wrt.value), wrt.value
    assert np.isclose(space["J"], J.value, rtol=1e-12), code
    mine, rng = space[f"d{wrt.name}"], np.random.default_rng(1)
    assert np.shape(mine) == x.shape, code
    for _ in range(3):
        d, h = rng.normal(size=x.shape), 1e-5
        slope = (run(x + h * d)["J"] - run(x - h * d)["J"]) / (2 * h)
        assert np.isclose(np.sum(mine * d), slope, rtol=1e-6, atol=1e-9), code
    return code


def network(activation, seed=4):
    rng = np.random.default_rng(seed)
    shapes = {"X": (3, 4), "W1": (5, 3), "b1": (5, 1), "W2": (2, 5), "b2": (2, 1)}
    leaves = [nnc.Node(rng.normal(size=shape), name=name) for name, shape in shapes.items()]
    X, W1, b1, W2, b2 = leaves
    Z1 = nnc.linear(W1, X, b1)
    Z1.name = "Z1"
    A1 = activation(Z1)
    A1.name = "A1"
    return W2 @ A1 + b2, leaves


@pytest.mark.parametrize(
    "activation",
    [
        nnc.relu,
        nnc.sigmoid,
        nnc.leaky_relu,
        np.tanh,
        np.exp,
        np.sin,
        lambda Z: np.maximum(Z, 0),
        lambda Z: Z / (1 + Z**2),
    ],
)
def test_the_code_of_an_activation_gives_the_gradients(activation):
    Z2, leaves = network(activation)
    J = np.mean(nnc.softmax_cross_entropy(Z2, np.array([0, 1, 1, 0])))
    for leaf in leaves:
        code_gives_the_gradient(J, leaf, leaves)


def of_targets(Z):
    return np.mean(nnc.cross_entropy(nnc.softmax(Z), np.array([[0.2, 1, 0, 0.5], [0.8, 0, 1, 0.5]])))


def written_out(Z):
    P = np.exp(Z) / np.sum(np.exp(Z), axis=0, keepdims=True)
    return -np.mean(np.log(P[np.array([0, 1, 1, 0]), np.arange(4)]))


@pytest.mark.parametrize(
    "loss",
    [
        of_targets,
        lambda Z: np.mean(nnc.cross_entropy(nnc.softmax(Z), np.array([0, 1, 1, 0]))),
        lambda Z: np.sum(nnc.squared_error(Z, np.ones((2, 4)))) / 4,
        lambda Z: np.mean(nnc.binary_cross_entropy(Z, np.array([[0.0, 1, 1, 0], [1, 1, 0, 0]]))),
        lambda Z: np.mean(np.square(Z - 1)) + np.sum(np.concatenate([Z, Z], axis=0)),
        lambda Z: np.sum(np.where(np.arange(4) > 1, Z, 2 * Z).reshape(-1)),
    ],
)
def test_the_code_of_a_loss_gives_the_gradients(loss):
    Z2, leaves = network(np.tanh)
    for leaf in leaves[1:3]:
        code_gives_the_gradient(loss(Z2), leaf, leaves)


def test_the_code_reads_as_one_would_write_it():
    Z2, leaves = network(np.tanh)
    code = code_gives_the_gradient(np.mean(nnc.softmax_cross_entropy(Z2, np.array([0, 1, 1, 0]))), leaves[1], leaves)
    assert "Z1 = W1 @ X + b1" in code
    assert "dZ1 = dA1 * (1 - A1 ** 2)" in code
    assert code.splitlines()[-1] == "dW1 = dZ1 @ X.T"


def test_the_code_transposes_constant_data():
    W, X = nnc.Node(np.ones((2, 3)), name="W"), np.arange(12.0).reshape(3, 4)
    derivation = nnc.derive(np.mean((W @ X) ** 2), wrt=W)
    assert derivation.code().splitlines()[-1] == "dW = du1 @ C1.T"
    space = {"np": np, "W": W.value}
    exec(derivation.code(), space)
    assert np.allclose(space["dW"], derivation.value)


def test_the_code_of_a_custom_operation_is_an_error_with_its_name():
    x = nnc.Node(np.array([3.0, 1.0, 2.0]), name="x")

    def double(x):
        return 2 * x

    double = nnc.custom(double, lambda g, out, x: 2 * g)
    with pytest.raises(TypeError, match="double"):
        nnc.derive(np.sum(double(x)), wrt=x).code()


@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() & RULES.keys()))
def test_the_code_of_a_row_is_right_or_an_error(name):
    for operands, params in map(split, EXAMPLES[name]):
        for f in functions_of(name)[:1]:
            for i in set(range(len(operands))) - set(CONSTANT.get(name, [])):
                if skipped(name, f, operands, params) or not np.asarray(operands[i]).dtype.kind == "f":
                    continue
                x = nnc.Node(np.array(operands[i], np.float64), name="x")
                out = f(*operands[:i], x, *operands[i + 1 :], **params)
                derivation = nnc.derive(np.sum(out * np.cos(np.arange(out.size).reshape(out.shape))), wrt=x)
                try:
                    code = derivation.code()
                except TypeError as error:
                    assert str(error).startswith("code: ")
                    continue
                if "of data" in code:
                    continue  # long constants are left for the reader to fill in
                space = {"np": np, "x": x.value}
                exec(code, space)
                assert np.shape(space["dx"]) == x.shape, code
                assert np.allclose(space["dx"], derivation.value, rtol=1e-6, atol=1e-9), code
