"""Functions of scipy.special on Nodes: first and second derivatives against finite differences and JAX's."""

import inspect
import operator
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from operands import away, inside, reset_rng
from test_higher_order import assert_second_derivatives
from test_rules import assert_gradients

import nnc
from nnc import Node

special = pytest.importorskip("scipy.special")
bound_before = SimpleNamespace(softmax=special.softmax, log_softmax=special.log_softmax, logsumexp=special.logsumexp)

reset_rng()
ANY = [(3 * away(3, 4),), (away(),)]
IN_0_1 = [(inside(3, 4),)]
PAIRS = [(inside(3, 4), inside(4)), (away(3), 0.7), (0.3, inside(2))]
CASES = {
    **dict.fromkeys(("expit", "log_expit", "erf", "erfc", "ndtr", "log_ndtr"), ANY),
    **dict.fromkeys(("gammaln", "gamma", "digamma"), [(5 * inside(3, 4),), (away(5) - 3,)]),
    **dict.fromkeys(("logit", "entr"), IN_0_1),
    **dict.fromkeys(("xlogy", "xlog1py"), [*PAIRS, (np.zeros(3), inside(3))]),
    "rel_entr": [(inside(3, 4), 0.5 + inside(4))],
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    for operands in CASES[name]:
        assert_gradients(getattr(special, name), *operands)
        assert_second_derivatives(getattr(special, name), *operands)


@pytest.mark.parametrize("name", [name for name in CASES if name != "ndtr"])
def test_derivatives_match_jax(name):
    """Also in the tails, where the value itself is rounded to its limit."""
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    in_jax = getattr(jax.scipy.special, name, None) or getattr(jax.nn, {"log_expit": "log_sigmoid"}.get(name, name))
    far = {"expit": [-20.0, -3.0, 5.0, 8.0], "logit": [1e-9, 1 - 1e-9], "entr": [1e-300, 3.0], "gamma": [0.01, 20.0],
           "digamma": [0.01, 1e6],
           "log_ndtr": [-4.0, -1.0, 3.0, 30.0]}  # fmt: skip
    x = np.array(far.get(name, [-20.0, -3.0, 5.0, 30.0]))
    x = np.resize(x, 4)
    x = np.abs(x) if name in ("gammaln", "rel_entr") else x
    others = [np.full(4, 0.37)] if name in ("xlogy", "xlog1py", "rel_entr") else []
    for i, _ in enumerate([x, *others]):
        nodes = [Node(a) for a in (x, *others)]
        y = getattr(special, name)(*nodes)
        y.backward(np.ones(y.shape))
        right = np.asarray(jax.grad(lambda *a: in_jax(*a).sum(), i)(x, *others))
        np.testing.assert_allclose(nodes[i].grad, right, rtol=1e-10)


def test_every_row_is_tested():
    from nnc.autodiff.special import ROWS

    assert ROWS - {"zeta"} == set(CASES)  # zeta is in digamma's gradient


def test_xlogy_where_x_is_zero():
    x, y = Node([0.0, 0.0, 2.0]), Node([0.0, 3.0, 0.5])
    z = special.xlogy(x, y)
    z.backward(np.ones(3))
    np.testing.assert_array_equal(z.value, special.xlogy(x.value, y.value))
    np.testing.assert_array_equal(y.grad, [0, 0, 4])


# ---- softmax, log_softmax, logsumexp ---------------------------------------------------------------------------------

AXES = [None, 0, 1, -1, (0, 2), (0, 1, 2), (-1,)]
REDUCED = [{"axis": axis, "keepdims": keepdims} for axis in AXES for keepdims in (False, True)]
SIGNED = inside(2, 2, 3) * [1, -0.15, 1]  # sums with these weights do not cancel


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("function", [bound_before.softmax, special.log_softmax], ids=lambda f: f.__name__)
def test_softmax_of_nodes(function, axis):
    for x in (3 * away(2, 2, 3), 40 * away(2, 2, 3)[:, ::-1]):
        assert_gradients(lambda x: function(x, axis=axis), x)
        assert_second_derivatives(lambda x: function(x, axis=axis), x)
        np.testing.assert_allclose(function(Node(x), axis).value, function(x, axis), rtol=1e-13, atol=1e-15)
    for x in (np.array(0.3), away(3)):
        assert_gradients(lambda x: function(x), x)


@pytest.mark.parametrize("params", REDUCED, ids=str)
def test_logsumexp_of_nodes(params):
    x, w = away(2, 2, 3), inside(2, 1)
    for calls in (lambda x: special.logsumexp(x, **params), lambda x: special.logsumexp(x, b=w, **params),
                  lambda x: special.logsumexp(x, b=SIGNED, return_sign=True, **params)[0]):  # fmt: skip
        assert_gradients(calls, x)
        assert_second_derivatives(calls, x)
    for x, b in ((away(2, 2, 3), SIGNED), (away(3), -SIGNED)):
        assert_gradients(lambda x, b: special.logsumexp(x, b=b, return_sign=True, **params)[0], x, b)
        assert_second_derivatives(lambda x, b: special.logsumexp(x, b=b, return_sign=True, **params)[0], x, b)
        y, sign = special.logsumexp(Node(x), b=Node(b), return_sign=True, **params)
        right, their_sign = special.logsumexp(x, b=b, return_sign=True, **params)
        assert type(sign) is type(their_sign) and y.value.shape == np.shape(right)
        np.testing.assert_array_equal(sign, their_sign)


def test_softmax_and_logsumexp_match_jax():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    in_jax = {"softmax": jax.nn.softmax, "log_softmax": jax.nn.log_softmax, "logsumexp": jax.scipy.special.logsumexp}
    x, b, g = 30 * away(3, 4), away(3, 4), away(3, 4) + 1.2
    for name, function in in_jax.items():
        for axis in (0, (0, 1)):
            weights = g if name != "logsumexp" else 1.3

            def f(x, name=name, axis=axis, weights=weights):
                return np.sum(getattr(special, name)(x, axis=axis) * weights)

            def right(x, function=function, axis=axis, weights=weights):
                return (function(x, axis=axis) * weights).sum()

            np.testing.assert_allclose(nnc.grad(f)(x), jax.jit(jax.grad(right))(x), rtol=1e-11, atol=1e-14)
            if axis == 0:
                np.testing.assert_allclose(nnc.hessian(f)(x), jax.jit(jax.hessian(right))(x), rtol=1e-9, atol=1e-13)
    for k in (0, 1):
        f = lambda x, b: np.sum(special.logsumexp(x, 0, b=b, return_sign=True)[0] * g[0])  # noqa: E731
        right = lambda x, b: (in_jax["logsumexp"](x, 0, b=b, return_sign=True)[0] * g[0]).sum()  # noqa: E731
        np.testing.assert_allclose(nnc.grad(f, k)(x, b), jax.jit(jax.grad(right, k))(x, b), rtol=1e-9)
        np.testing.assert_allclose(nnc.hessian(f, k)(x, b), jax.jit(jax.hessian(right, k))(x, b), rtol=1e-7, atol=1e-9)


def test_logsumexp_against_mpmath_where_numbers_are_far_apart():
    mp = pytest.importorskip("mpmath")
    for values, weights in (([800.0, 801.0, -90.0], [1.0, 1.0, 1.0]), ([-800.0, -801.5, -803.0], [2.0, -3.0, 0.25]),
                            ([0.0, 1e-9, 36.0], [1.0, -1.0, 1e-16]), ([5.0, 900.0], [2.0, 0.0])):  # fmt: skip
        a, b = Node(values), Node(weights)
        y, sign = special.logsumexp(a, b=b, return_sign=True)
        y.backward()
        with mp.workdps(60):
            S = mp.fsum(mp.mpf(w) * mp.exp(v) for v, w in zip(values, weights, strict=True))
            da = [float(mp.mpf(w) * mp.exp(v) / S) for v, w in zip(values, weights, strict=True)]
            db = [mp.exp(v) / S for v in values]
        lost = float(mp.fsum(abs(mp.mpf(w) * mp.exp(v)) for v, w in zip(values, weights, strict=True)) / abs(S))
        assert sign == mp.sign(S)
        np.testing.assert_allclose(a.grad, da, rtol=8e-16 * (1 + abs(y.value)) * lost, atol=0)
        np.testing.assert_allclose(b.grad, [float(d) if d < 1e308 else np.inf for d in db],
                                   rtol=8e-16 * (1 + abs(y.value)) * lost)  # fmt: skip


def test_a_negative_sum_has_no_logarithm_and_no_gradient():
    a = Node([[1.0, 2.0], [0.5, 0.5]])
    y = special.logsumexp(a, axis=1, b=[-1.0, 2.0])
    np.testing.assert_allclose(y.value, special.logsumexp(a.value, axis=1, b=[-1.0, 2.0]))
    y = special.logsumexp(a, axis=1, b=[[-1.0, -2.0], [1.0, 1.0]])
    y.sum().backward()
    assert np.isnan(y.value[0]) and np.isnan(a.grad[0]).all()
    np.testing.assert_allclose(a.grad[1], [0.5, 0.5])


def test_arrays_give_scipys_own_results():
    """The same bits and errors as from the original function, also for lists, integers and complex numbers."""
    Node(1.0)
    for name in ("softmax", "log_softmax", "logsumexp"):
        function, plain = getattr(special, name), getattr(special, name).__wrapped__
        assert function.__code__ is not plain.__code__ and function is getattr(bound_before, name)
        assert inspect.signature(function) == inspect.signature(plain) and function.__doc__ == plain.__doc__
        for x in (away(3, 4), away(3, 4).astype("f4"), [1, 2, 3], 0.5, np.array([np.inf, 1.0])):
            np.testing.assert_array_equal(function(x), plain(x))
            assert np.asarray(function(x)).dtype == np.asarray(plain(x)).dtype
        with pytest.raises(TypeError, match="unexpected keyword argument 'color'|color"):
            function(away(3), color=1)
        with pytest.raises(np.exceptions.AxisError):
            function(away(3), axis=2)
    assert special.logsumexp(np.array([1j, 2.0])).dtype.kind == "c"
    assert "exp" in inspect.getsource(special.softmax)


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_functions_imported_before_and_after_nnc():
    check = "; x = nnc.Node([1.0, 2.0]); softmax(x).sum().backward(); assert abs(x.grad).max() < 1e-15"
    for first in ("import nnc; from scipy.special import softmax", "from scipy.special import softmax; import nnc"):
        done = run(first + check)
        assert not done.returncode, done.stderr


def test_scipy_imported_after_the_node():
    done = run("import nnc; x = nnc.Node([1.0, 2.0]); from scipy.special import softmax\n"
               "try: softmax(x)\nexcept TypeError as e: print(e)\nprint(softmax(x, 0).op)")  # fmt: skip
    assert "call it again" in done.stdout and done.stdout.endswith("softmax\n"), done


def test_another_implementation_in_scipy_is_left_alone():
    """A TypeError then names a function to use instead, which works."""
    done = run("import scipy.special as s, scipy.special._logsumexp as m, types\n"
               "def wrapped(f): return lambda *a, **k: f(*a, **k)\n"
               "for n in m.__all__: setattr(m, n, wrapped(getattr(m, n))); setattr(s, n, getattr(m, n))\n"
               "import nnc\n"
               "for n in ('softmax', 'log_softmax', 'logsumexp'):\n"
               "    try: getattr(s, n)(nnc.Node([1.0]))\n    except TypeError as e: print(e)")  # fmt: skip
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done
    x = away(3, 4)
    for name, line in zip(("softmax", "log_softmax", "logsumexp"), lines, strict=True):
        assert re.search(rf"special\.{name} .* takes Nodes", line)
        module, instead = re.search(r"(n\w+)\.([\w.]+)\(Z", line).groups()
        instead = operator.attrgetter(instead)({"np": np, "nnc": nnc}[module])
        np.testing.assert_allclose(instead(Node(x), axis=1).value, getattr(special, name)(x, axis=1), rtol=1e-14)


def test_an_unsupported_ufunc_of_scipy_is_an_error_with_its_name():
    with pytest.raises(TypeError, match="j0 does not work on Nodes"):
        special.j0(Node(1.0))


def test_nnc_imports_no_scipy():
    code = "import sys, numpy as np, nnc; np.exp(nnc.Node(1.0)).backward(); assert 'scipy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
