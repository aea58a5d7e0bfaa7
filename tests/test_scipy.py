"""Functions of scipy.special on Nodes, where SciPy is installed: against differences, twice, and against JAX."""

import operator
import re
import subprocess
import sys

import numpy as np
import pytest
from operands import away, inside
from test_order import hold_twice
from test_rules import hold

import nnc
from nnc import Node

special = pytest.importorskip("scipy.special")

ANY = [(3 * away(3, 4),), (away(),)]
BETWEEN = [(inside(3, 4),)]
PAIRS = [(inside(3, 4), inside(4)), (away(3), 0.7), (0.3, inside(2))]
CASES = {
    **dict.fromkeys(("expit", "log_expit", "erf", "erfc", "ndtr", "log_ndtr"), ANY),
    **dict.fromkeys(("gammaln", "gamma", "digamma"), [(5 * inside(3, 4),), (away(5) - 3,)]),
    **dict.fromkeys(("logit", "entr"), BETWEEN),
    **dict.fromkeys(("xlogy", "xlog1py"), [*PAIRS, (np.zeros(3), inside(3))]),
    "rel_entr": [(inside(3, 4), 0.5 + inside(4))],
}


@pytest.mark.parametrize("name", CASES)
def test_function(name):
    for operands in CASES[name]:
        hold(getattr(special, name), *operands)
        hold_twice(getattr(special, name), *operands)


@pytest.mark.parametrize("name", [name for name in CASES if name != "ndtr"])
def test_as_jax(name):
    """In the tails, too, where the value has no digits of its own left."""
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    theirs = getattr(jax.scipy.special, name, None) or getattr(jax.nn, {"log_expit": "log_sigmoid"}.get(name, name))
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
        right = np.asarray(jax.grad(lambda *a: theirs(*a).sum(), i)(x, *others))
        np.testing.assert_allclose(nodes[i].grad, right, rtol=1e-10)


def test_every_row_is_tested():
    from nnc.autodiff.special import ROWS

    assert ROWS - {"zeta"} == set(CASES)  # zeta is what digamma's gradient is made of


def test_where_a_zero_is_no_number_less():
    x, y = Node([0.0, 0.0, 2.0]), Node([0.0, 3.0, 0.5])
    z = special.xlogy(x, y)
    z.backward(np.ones(3))
    np.testing.assert_array_equal(z.value, special.xlogy(x.value, y.value))
    np.testing.assert_array_equal(y.grad, [0, 0, 4])


@pytest.mark.parametrize("name", ["logsumexp", "softmax", "log_softmax"])
def test_what_scipy_hands_to_nobody_is_refused(name):
    x = away(3, 4)
    with pytest.raises(TypeError, match=rf"special\.{name} .* takes Nodes") as error:
        getattr(special, name)(Node(x))
    module, instead = re.search(r"(n\w+)\.([\w.]+)\(Z", str(error.value)).groups()
    instead = operator.attrgetter(instead)({"np": np, "nnc": nnc}[module])
    np.testing.assert_allclose(instead(Node(x), axis=1).value, getattr(special, name)(x, axis=1), rtol=1e-14)


def test_another_ufunc_of_scipy_is_named():
    with pytest.raises(TypeError, match="j0 does not work on Nodes"):
        special.j0(Node(1.0))


def test_nnc_imports_no_scipy():
    code = "import sys, numpy as np, nnc; np.exp(nnc.Node(1.0)).backward(); assert 'scipy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
