"""Gradients of elementwise functions against mpmath, over the whole domain and near its edges.

In float64 a gradient is within 4 units in the last place of the exact derivative at that number. Where the derivative
overflows or is subnormal, the gradient must only do the same. NOT_TESTED lists the other functions, and why.
"""

import numpy as np
import pytest
from engine_rows import LOSS_FUNCTIONS, WITH_BACKWARD

import nnc
from nnc.autodiff.operations import RULES

mp = pytest.importorskip("mpmath")

LIMIT = 4
TINY = np.finfo(float).smallest_normal
rng = np.random.default_rng(3)
near = np.array([2.0**-k for k in range(1, 53)])
SCALES = np.concatenate([10.0 ** np.arange(-300, 301, 7.3), 10.0 ** rng.uniform(-3, 3, 40)])
POSITIVE = np.concatenate([SCALES, 1 + near, 1 - near])
SIGNED = np.concatenate([POSITIVE, -POSITIVE])
ANY = np.append(SIGNED, 0.0)
UNIT = np.concatenate([s * x for s in (1, -1) for x in (1 - near, rng.random(40), SCALES[SCALES < 1])])
SMALL = np.concatenate([rng.uniform(-700, 700, 60), rng.uniform(-40, 40, 60), ANY[abs(ANY) < 10]])
ANGLES = np.concatenate([SIGNED[abs(SIGNED) < 1e15], np.pi / 2 * np.arange(-8, 9)])


def sinc_derivative(x):
    u = mp.pi * x
    return mp.pi * (mp.cos(u) / u - mp.sin(u) / u**2) if x else mp.mpf(0)


def logistic(x):
    return 1 / (1 + mp.exp(-x))


UNARY = {  # row -> (function, points, the exact derivative)
    "positive": (np.positive, SIGNED, lambda x: 1),
    "negative": (np.negative, SIGNED, lambda x: -1),
    "absolute": (np.abs, ANY, mp.sign),
    "square": (np.square, ANY, lambda x: 2 * x),
    "reciprocal": (np.reciprocal, SIGNED, lambda x: -1 / x**2),
    "sqrt": (np.sqrt, POSITIVE, lambda x: 1 / (2 * mp.sqrt(x))),
    "cbrt": (np.cbrt, SIGNED, lambda x: 1 / (3 * mp.cbrt(abs(x)) ** 2)),
    "exp": (np.exp, SMALL, mp.exp),
    "exp2": (np.exp2, SMALL, lambda x: mp.log(2) * mp.mpf(2) ** x),
    "expm1": (np.expm1, SMALL, mp.exp),
    "log": (np.log, POSITIVE, lambda x: 1 / x),
    "log2": (np.log2, POSITIVE, lambda x: 1 / (x * mp.log(2))),
    "log10": (np.log10, POSITIVE, lambda x: 1 / (x * mp.log(10))),
    "log1p": (np.log1p, np.concatenate([POSITIVE, UNIT]), lambda x: 1 / (1 + x)),
    "sin": (np.sin, ANGLES, mp.cos),
    "cos": (np.cos, ANGLES, lambda x: -mp.sin(x)),
    "tan": (np.tan, ANGLES, lambda x: 1 / mp.cos(x) ** 2),
    "sinh": (np.sinh, SMALL, mp.cosh),
    "cosh": (np.cosh, SMALL, mp.sinh),
    "tanh": (np.tanh, SMALL, lambda x: 1 / mp.cosh(x) ** 2),
    "sigmoid": (nnc.sigmoid, SMALL, lambda x: logistic(x) * logistic(-x)),
    "arcsin": (np.arcsin, UNIT, lambda x: 1 / mp.sqrt(1 - x * x)),
    "arccos": (np.arccos, UNIT, lambda x: -1 / mp.sqrt(1 - x * x)),
    "arctan": (np.arctan, ANY, lambda x: 1 / (1 + x * x)),
    "arcsinh": (np.arcsinh, ANY, lambda x: 1 / mp.sqrt(1 + x * x)),
    "arccosh": (np.arccosh, POSITIVE[POSITIVE > 1], lambda x: 1 / mp.sqrt(x * x - 1)),
    "arctanh": (np.arctanh, UNIT, lambda x: 1 / (1 - x * x)),
    "deg2rad": (np.deg2rad, SIGNED, lambda x: mp.pi / 180),
    "rad2deg": (np.rad2deg, SIGNED, lambda x: 180 / mp.pi),
    "sigmoid_gradient": (nnc.grad(lambda x: np.sum(nnc.sigmoid(x))), SMALL,
                         lambda x: -logistic(x) * logistic(-x) * mp.tanh(x / 2)),
    "tanh_gradient": (nnc.grad(lambda x: np.sum(nnc.tanh(x))), SMALL, lambda x: -2 * mp.tanh(x) / mp.cosh(x) ** 2),
    "relu": (nnc.relu, ANY, lambda x: int(x > 0)),
    "leaky_relu": (lambda x: nnc.leaky_relu(x, 0.3), ANY, lambda x: 1 if x > 0 else mp.mpf(0.3)),
    "power": (lambda x: x**3, ANY, lambda x: 3 * x**2),
    "power, a small exponent": (lambda x: x**0.3, POSITIVE, lambda x: mp.mpf(0.3) * x ** (mp.mpf(0.3) - 1)),
    "power, a negative exponent": (lambda x: x**-2.3, POSITIVE, lambda x: mp.mpf(-2.3) * x ** (mp.mpf(-2.3) - 1)),
    "power, arrays": (lambda x: x ** np.full(np.shape(x), 0.1), POSITIVE,
                      lambda x: mp.mpf(0.1) * x ** (mp.mpf(0.1) - 1)),
    "power, as a function of the exponent": (lambda x: 0.3**x, SMALL, lambda x: mp.log(mp.mpf(0.3)) * mp.mpf(0.3) ** x),
}  # fmt: skip

U = np.concatenate([SIGNED[::3], [1.0, 1.0, -1.0, 1e300, 1e-300]])
V = np.concatenate([rng.permutation(SIGNED)[: len(SIGNED[::3])], [1.0, 1 + 2.0**-52, 1.0, -1e300, 1e300]])
CLOSE = np.concatenate([U, U]), np.concatenate([V, U * (1 + rng.uniform(-1, 1, U.size) * 1e-3)])
BASES = 10.0 ** rng.uniform(-20, 20, 300), rng.uniform(-15, 15, 300)
BINARY = {  # row -> (function, (points, points), the exact derivatives)
    "add": (np.add, CLOSE, (lambda x, y: 1, lambda x, y: 1)),
    "subtract": (np.subtract, CLOSE, (lambda x, y: 1, lambda x, y: -1)),
    "multiply": (np.multiply, CLOSE, (lambda x, y: y, lambda x, y: x)),
    "divide": (np.divide, CLOSE, (lambda x, y: 1 / y, lambda x, y: -x / y**2)),
    "hypot": (np.hypot, CLOSE, (lambda x, y: x / mp.sqrt(x * x + y * y), lambda x, y: y / mp.sqrt(x * x + y * y))),
    "arctan2": (np.arctan2, CLOSE, (lambda x, y: y / (x * x + y * y), lambda x, y: -x / (x * x + y * y))),
    "logaddexp": (np.logaddexp, (SMALL, rng.permutation(SMALL)), (lambda x, y: logistic(x - y),
                                                                  lambda x, y: logistic(y - x))),
    "logaddexp2": (np.logaddexp2, (SMALL, rng.permutation(SMALL)), (lambda x, y: logistic((x - y) * mp.log(2)),
                                                                    lambda x, y: logistic((y - x) * mp.log(2)))),
    "maximum": (np.maximum, (U, V), (lambda x, y: (1 + mp.sign(x - y)) / 2, lambda x, y: (1 + mp.sign(y - x)) / 2)),
    "minimum": (np.minimum, (U, V), (lambda x, y: (1 + mp.sign(y - x)) / 2, lambda x, y: (1 + mp.sign(x - y)) / 2)),
    "power": (np.power, BASES, (lambda x, y: y * x ** (y - 1), lambda x, y: x**y * mp.log(x))),
    "sigmoid_backward": (nnc.sigmoid_backward, (rng.standard_normal(50), rng.random(50)),
                         (lambda x, a: a * (1 - a), lambda x, a: x * (1 - 2 * a))),
}  # fmt: skip

# All of these are compared with finite differences in test_rules.py.
NOT_TESTED = {
    "the gradient is an entry of g, 0, or an entry divided by a whole number": """add_bias astype broadcast_to
        concatenate diagflat diagonal expand_dims flip getitem moveaxis ravel repeat reshape roll rot90 scatter squeeze
        stack swapaxes take take_along_axis tile transpose where copysign fmax fmin max min imag piece""",
    "the derivative is constant or a whole number": """angle ceil floor floor_divide fmod ldexp remainder rint round
        sign trunc""",
    "sums, with an error of eps times the number of terms (error_bounds.py has bounds)": f"""add_bias_backward convolve
        cumprod cumsum einsum linear matmul mean norm prod sum softmax softmax_backward log_softmax cross_entropy
        cross_entropy_backward softmax_cross_entropy softmax_cross_entropy_backward {" ".join(LOSS_FUNCTIONS)}""",
    "the error depends on the matrix's condition number": """cholesky det eigh eigvalsh inv logabsdet lstsq pinv qr
        solve svd svdvals""",
    "the gradient is 0, g, g/2 or slope g, or a function of A, which is rounded":
        " ".join(["maximum_backward", *(f"{name}_backward" for name in WITH_BACKWARD)]),
    "tested by test_sinc: near 0 its derivative is a difference of large numbers": "sinc",
}  # fmt: skip


def test_every_row_is_tested_or_has_a_reason_why_not():
    tested = {name.partition(",")[0] for name in (*UNARY, *BINARY)}
    of_scipy = {name for name in RULES if name.startswith(("special", "scipy")) or name in SCIPY}
    assert set(RULES) - tested - set(" ".join(NOT_TESTED.values()).split()) - of_scipy == set()


SCIPY = {"erf", "erfc", "gammaln", "digamma", "polygamma", "xlogy", "entr", "expit", "logit", "logsumexp",
         "xlog1py", "ndtr", "zeta", "log_expit", "gamma", "log_ndtr", "rel_entr",
         "weighted_logsumexp"}  # fmt: skip


def ulps(found, right):
    """The error in units in the last place; 0 where both overflow or both are subnormal."""
    size = abs(right)
    if size > mp.mpf(np.finfo(float).max) * (1 - mp.mpf(2) ** -50):
        return 0 if abs(found) > 1e308 else np.inf
    if size < TINY:
        return 0 if abs(found) <= TINY else np.inf
    return float(abs(mp.mpf(float(found)) - right) / mp.mpf(float(np.spacing(float(size)))))


def worst(found, right, points):
    """The largest error, its point, and the gradient there."""
    with mp.workprec(2200):  # so that 1 + 1e-300 is not 1
        errors = [ulps(g, mp.mpf(right(*map(mp.mpf, map(float, p))))) for g, p in zip(found, points, strict=True)]
    k = max(range(len(errors)), key=lambda k: (errors[k] != errors[k], errors[k]))
    return errors[k], points[k], found[k]


@pytest.mark.parametrize("name", UNARY)
def test_gradients_of_functions_of_one_number(name):
    f, x, right = UNARY[name]
    with np.errstate(all="ignore"):
        value, found = f(x), nnc.grad(lambda x: np.sum(f(x)))(x)
    finite = np.isfinite(value)
    error = worst(found[finite], right, list(zip(x[finite], strict=True)))
    assert error[0] <= LIMIT, error


@pytest.mark.parametrize("name", BINARY)
def test_gradients_of_functions_of_two_numbers(name):
    f, (x, y), rights = BINARY[name]
    with np.errstate(all="ignore"):
        value, found = f(x, y), nnc.grad(lambda x, y: np.sum(f(x, y)), (0, 1))(x, y)
    normal = np.isfinite(value) & ((abs(value) >= TINY) | (value == 0) & (name != "divide") & (name != "power"))
    points = list(zip(x[normal], y[normal], strict=True))
    for gradient, right in zip(found, rights, strict=True):
        error = worst(gradient[normal], right, points)
        # x - y is rounded before it is exponentiated, which is ill conditioned where x and y are far apart
        limit = LIMIT + (abs(np.subtract(*error[1])) if name.startswith("logaddexp") else 0)
        assert error[0] <= limit, error


def test_sinc():
    """No digits are lost near 0; elsewhere pi x is rounded, as in np.sinc itself."""
    x = np.concatenate([UNIT, rng.uniform(-30, 30, 100), [0.0]])
    found = nnc.grad(lambda x: np.sum(np.sinc(x)))(x)
    for g, p in zip(found, x, strict=True):
        with mp.workprec(2200):
            right = sinc_derivative(mp.mpf(float(p)))
            unit = max(abs(float(right)), 1 if abs(p) > 0.5 else 0) * 2.0**-52
            assert abs(mp.mpf(float(g)) - right) <= LIMIT * mp.mpf(unit) + mp.mpf(TINY), (p, g, float(right))


def test_ulps_sees_small_errors_and_lost_values():
    right = mp.mpf(1) / 3
    assert ulps(1 / 3, right) < 0.5
    assert 4 < ulps(1 / 3 + 5 * np.spacing(1 / 3), right) < 6
    for lost in (0.0, np.inf, np.nan):
        assert not ulps(lost, right) <= LIMIT
    assert worst([1 / 3, np.nan], lambda x: right, [(1.0,), (2.0,)])[1] == (2.0,)


# ---- points without a derivative -------------------------------------------------------------------------------------

SUBGRADIENTS = {
    "norm": (np.linalg.norm, np.zeros(3)),
    "norm along an axis": (lambda x: np.linalg.norm(x, axis=0).sum(), np.array([[0.0, 3.0], [0.0, 4.0]])),
    "norm of order 3": (lambda x: np.linalg.norm(x, 3), np.zeros(3)),
    "norm of order 1": (lambda x: np.linalg.norm(x, 1), np.zeros(3)),
    "largest norm": (lambda x: np.linalg.norm(x, np.inf), np.zeros(3)),
    "Frobenius norm": (lambda x: np.linalg.norm(x, "fro"), np.zeros((2, 2))),
    "std": (np.std, np.ones(3)),
    "std along an axis": (lambda x: x.std(axis=0, ddof=1).sum(), np.array([[2.0, 3.0], [2.0, 5.0]])),
    "nanstd": (lambda x: np.nanstd(x), np.ones(3)),
    "hypot": (lambda x: np.hypot(x[0], x[1]), np.zeros(2)),
    "abs": (lambda x: np.abs(x).sum(), np.zeros(2)),
    "abs of a number": (np.abs, np.array(0.0)),
    "relu": (lambda x: nnc.relu(x).sum(), np.zeros(2)),
}


@pytest.mark.parametrize("name", SUBGRADIENTS)
def test_the_subgradient_is_0_and_gradcheck_reports_a_kink(name):
    f, x = SUBGRADIENTS[name]
    g = nnc.grad(f)(x)
    at_kink = np.all(np.asarray(x) == np.asarray(x)[:1], axis=0) if np.ndim(x) else np.True_
    np.testing.assert_array_equal(np.where(at_kink, g, 0), np.zeros(np.shape(x)))
    report = nnc.gradcheck(f, x)
    kinks = {index for _, index, _ in report.kinks}
    assert kinks == {index for index in np.ndindex(np.shape(x)) if np.broadcast_to(at_kink, np.shape(x))[index]}
    assert report.ok or not report.checked


def test_squared_norm_at_0():
    np.testing.assert_array_equal(nnc.grad(lambda x: np.linalg.norm(x) ** 2)(np.zeros(3)), np.zeros(3))
    np.testing.assert_array_equal(nnc.grad(lambda x: np.std(x) ** 2)(np.ones(3)), np.zeros(3))


def test_gradients_at_infinity_and_at_the_edge_of_the_domain():
    with np.errstate(all="ignore"):
        assert nnc.grad(np.sqrt)(0.0) == nnc.grad(np.cbrt)(0.0) == nnc.grad(lambda x: x**0.3)(0.0) == np.inf
        assert nnc.grad(lambda x: x**2)(0.0) == nnc.grad(lambda x: x**0)(0.0) == nnc.grad(lambda y: 0.0**y)(2.0) == 0
        for inf in (np.inf, -np.inf):
            assert nnc.grad(np.logaddexp, (0, 1))(inf, inf) == (0.5, 0.5)
            assert nnc.grad(np.logaddexp, (0, 1))(inf, -inf) in ((1, 0), (0, 1))
