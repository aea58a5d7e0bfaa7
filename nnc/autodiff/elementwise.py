r"""More rows of the table: elementwise functions.

`operations` has those that networks use, and this file NumPy's others. The steps (floor, round ...) have the derivative
0 wherever they have one, and their kinks are where they jump.
"""

import numpy as np

from .operations import LN2, row, side
from .vjps import no_gradient, restore_axes

# fmt: off

row("arcsinh", np.arcsinh, r"\mathrm{arsinh}\,{0}",
    (lambda g, C, A: g / np.hypot(A, 1), r"\frac{{g}}{\sqrt{{0}^2 + 1}}"))
row("arccosh", np.arccosh, r"\mathrm{arcosh}\,{0}",  # A - 1 is exact where it is small, A² - 1 is not
    (lambda g, C, A: g / (np.sqrt(A - 1) * np.sqrt(A + 1)), r"\frac{{g}}{\sqrt{{0}^2 - 1}}"))
row("arctanh", np.arctanh, r"\mathrm{artanh}\,{0}",
    (lambda g, C, A: g / ((1 - A) * (1 + A)), r"\frac{{g}}{1 - {0}^2}"))
row("deg2rad", (np.deg2rad, np.radians), r"\frac{\pi}{180}\,{0}",
    (lambda g, C, A: g * (np.pi / 180), r"\frac{\pi}{180}\,{g}"))
row("rad2deg", (np.rad2deg, np.degrees), r"\frac{180}{\pi}\,{0}",
    (lambda g, C, A: g * (180 / np.pi), r"\frac{180}{\pi}\,{g}"))
row("logaddexp2", np.logaddexp2, r"\log_2(2^{{0}} + 2^{{1}})",
    (lambda g, C, A, B: g * np.exp((A - C) * LN2), r"{g} \circ 2^{{0} - {out}}"),
    (lambda g, C, A, B: g * np.exp((B - C) * LN2), r"{g} \circ 2^{{1} - {out}}"))



# ---- np.logaddexp.reduce, the only ufunc method that works on Nodes


def logsumexp(A, axis=0, keepdims=False):
    greatest = np.max(A, axis, keepdims=True, initial=-np.inf)
    greatest = np.where(np.isfinite(greatest), greatest, 0)
    with np.errstate(divide="ignore"):  # of an empty array, or of -∞ only, it is -∞
        total = np.log(np.sum(np.exp(A - greatest), axis, keepdims=True)) + greatest
    return total if keepdims else np.squeeze(total, tuple(range(A.ndim)) if axis is None else axis)


row("logsumexp", (), r"\ln \sum e^{{0}}",
    (lambda g, C, A, axis=0, keepdims=False:
        restore_axes(g, A.ndim, axis, keepdims) * np.exp(A - restore_axes(C, A.ndim, axis, keepdims)),
     r"{g} \circ e^{{0} - {out}}"), params="axis - - keepdims", forward=logsumexp)

# ---- remainders and integer division


def remainder_divisor(g, C, A, B):
    """A mod B is A - n B, where the integer n is piecewise constant."""
    return -g * np.floor_divide(A, B)


row("remainder", np.remainder, r"{0}\;\mathrm{mod}\;{1}",
    (lambda g, C, A, B: g, "{g}"), (remainder_divisor, r"-{g} \circ \mathrm{floor}(\frac{{0}}{{1}})"),
    kinks=np.floor_divide)
row("fmod", np.fmod, r"\mathrm{fmod}({0}, {1})",
    (lambda g, C, A, B: g, "{g}"),
    (lambda g, C, A, B: -g * np.trunc(A / B), r"-{g} \circ \mathrm{trunc}(\frac{{0}}{{1}})"),
    kinks=lambda A, B: np.trunc(A / B))
row("floor_divide", np.floor_divide, r"\mathrm{floor}(\frac{{0}}{{1}})",
    (no_gradient, "0"), (no_gradient, "0"), kinks=np.floor_divide)

# ---- steps


def step(name, functions, latex, params="", kinks=None):
    function = functions[0] if isinstance(functions, tuple) else functions
    row(name, functions, latex, (no_gradient, "0"), params=params,
        kinks=kinks or getattr(function, "__wrapped__", function))


step("floor", np.floor, r"\mathrm{floor}({0})")
step("ceil", np.ceil, r"\mathrm{ceil}({0})")
step("rint", np.rint, r"\mathrm{round}({0})")
step("trunc", (np.trunc, np.fix), r"\mathrm{trunc}({0})")
step("round", (np.round, np.around), r"\mathrm{round}({0})", params="decimals")
step("angle", np.angle, r"\mathrm{arg}({0})", params="deg")
row("imag", np.imag, r"\mathrm{Im}({0})", (no_gradient, "0"))

# ---- maxima, minima and signs, with care for NaN and zeros


def share(g, C, A, B, is_chosen):
    """A's share of g: all where it is chosen over B, half where they are equal. If one is NaN the other gets all."""
    fraction = np.where(np.isnan(A), 0.0, np.where(np.isnan(B), 1.0, is_chosen + 0.5 * (A == B)))
    return g * np.where(np.isnan(C), np.nan, fraction).astype(g.dtype, copy=False)


row("fmax", np.fmax, r"\max({0}, {1})",
    (lambda g, C, A, B: share(g, C, A, B, A > B), r"{g} \circ \delta_{{0} > {1}}"),
    (lambda g, C, A, B: share(g, C, B, A, B > A), r"{g} \circ \delta_{{1} > {0}}"), kinks=side)
row("fmin", np.fmin, r"\min({0}, {1})",
    (lambda g, C, A, B: share(g, C, A, B, A < B), r"{g} \circ \delta_{{0} < {1}}"),
    (lambda g, C, A, B: share(g, C, B, A, B < A), r"{g} \circ \delta_{{1} < {0}}"), kinks=side)
row("copysign", np.copysign, r"|{0}| \circ \mathrm{sign}({1})",
    (lambda g, C, A, B: np.copysign(1.0, B) * g * np.sign(A), r"{g} \circ \mathrm{sign}({0}) \circ \mathrm{sign}({1})"),
    (no_gradient, "0"), kinks=lambda A, B: np.sign(A) + 2 * np.signbit(B))
row("ldexp", np.ldexp, r"{0} \circ 2^{{1}}", (lambda g, C, A, n: np.ldexp(g, n), r"{g} \circ 2^{{1}}"), None)


def sinc_back(g, C, A):
    """sinc'(x) = -π j₁(πx), with j₁(z) = sin z / z² - cos z / z, and its power series where those nearly cancel."""
    z = np.pi * A
    is_small = abs(z) < 1
    far = np.where(is_small, 1, z)
    square = np.where(is_small, z, 0) ** 2
    series = 1
    for k in range(9, 0, -1):  # the next term is below 1e-17
        series = 1 - series * square / (2 * k * (2 * k + 3))
    return g * -np.pi * np.where(is_small, z * series / 3, (np.sin(far) / far - np.cos(far)) / far)


row("sinc", np.sinc, r"\frac{\sin \pi {0}}{\pi {0}}", (sinc_back, r"{g} \circ \frac{\cos \pi {0} - {out}}{{0}}"))
