r"""Rows for `scipy.special`, added when a Node first meets a ufunc that is not NumPy's.

SciPy's ufuncs dispatch to Nodes as NumPy's do. The derivatives are those of the *NIST Digital Library of Mathematical
Functions* (5.2, 5.5, 5.15, 7.2, 25.11). `logsumexp`, `softmax` and `log_softmax` are not ufuncs: `softmax_of_scipy`
has them.
"""

import math

import numpy as np
from scipy import special

from .dispatch import operation, value_of
from .operations import RULES, row

# fmt: off

BEFORE = set(RULES)
LN = r"\ln "

row("expit", special.expit, r"\sigma({0})",
    (RULES["sigmoid"].vjps[0], r"{g} \circ {out} \circ (1 - {out})"))
row("log_expit", special.log_expit, LN + r"\sigma({0})",
    (lambda g, C, A: g * special.expit(-A), r"{g} \circ \sigma(-{0})"))
row("logit", special.logit, LN + r"\frac{{0}}{1 - {0}}",
    (lambda g, C, A: g / (A * (1 - A)), r"\frac{{g}}{{0} \circ (1 - {0})}"))

row("erf", special.erf, r"\mathrm{erf}({0})",
    (lambda g, C, A: g * (2 / math.sqrt(math.pi)) * np.exp(-A * A), r"{g} \circ \frac{2}{\sqrt{\pi}}\,e^{-{0}^2}"))
row("erfc", special.erfc, r"\mathrm{erfc}({0})",
    (lambda g, C, A: g * (-2 / math.sqrt(math.pi)) * np.exp(-A * A), r"-{g} \circ \frac{2}{\sqrt{\pi}}\,e^{-{0}^2}"))
row("ndtr", special.ndtr, r"\Phi({0})",
    (lambda g, C, A: g * np.exp(-0.5 * A * A) / math.sqrt(2 * math.pi),
     r"{g} \circ \frac{e^{-{0}^2 / 2}}{\sqrt{2 \pi}}"))
row("log_ndtr", special.log_ndtr, LN + r"\Phi({0})",
    (lambda g, C, A: g * np.exp(-0.5 * A * A - C) / math.sqrt(2 * math.pi),
     r"{g} \circ \frac{e^{-{0}^2 / 2 - {out}}}{\sqrt{2 \pi}}"))


@operation
def zeta(s, A):
    """Hurwitz's zeta function, Σ (A + k)^-s."""
    return special.zeta(s, A)


row("gammaln", special.gammaln, LN + r"|\Gamma({0})|", (lambda g, C, A: g * special.digamma(A), r"{g} \circ \psi({0})"))
row("gamma", special.gamma, r"\Gamma({0})",
    (lambda g, C, A: g * C * special.digamma(A), r"{g} \circ {out} \circ \psi({0})"))
row("digamma", special.digamma, r"\psi({0})", (lambda g, C, A: g * zeta(2, A), r"{g} \circ \zeta(2, {0})"))
row("zeta", zeta, r"\zeta({0}, {1})", None,
    (lambda g, C, s, A: g * -s * zeta(s + 1, A), r"-{g} \circ {0}\,\zeta({0} + 1, {1})"))


def ratio(A, B):
    """A / B, and 0 where both are 0."""
    return A / np.where((value_of(A) == 0) & (value_of(B) == 0), 1, B)


row("xlogy", special.xlogy, r"{0} \circ \ln {1}",
    (lambda g, C, A, B: g * np.log(B), r"{g} \circ \ln {1}"),
    (lambda g, C, A, B: g * ratio(A, B), r"{g} \circ \frac{{0}}{{1}}"))
row("xlog1py", special.xlog1py, r"{0} \circ \ln(1 + {1})",
    (lambda g, C, A, B: g * np.log1p(B), r"{g} \circ \ln(1 + {1})"),
    (lambda g, C, A, B: g * ratio(A, 1 + B), r"{g} \circ \frac{{0}}{1 + {1}}"))
row("entr", special.entr, r"-{0} \circ \ln {0}", (lambda g, C, A: g * (-1 - np.log(A)), r"-{g} \circ (1 + \ln {0})"))
row("rel_entr", special.rel_entr, r"{0} \circ \ln \frac{{0}}{{1}}",
    (lambda g, C, A, B: g * (1 + np.log(A / B)), r"{g} \circ (1 + \ln \frac{{0}}{{1}})"),
    (lambda g, C, A, B: -g * ratio(A, B), r"-{g} \circ \frac{{0}}{{1}}"))

ROWS = RULES.keys() - BEFORE
