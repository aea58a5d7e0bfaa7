"""``python -m nnc.autodiff``: all functions that Nodes support, as a page of Markdown generated from their tables."""

import sys
from collections import defaultdict

import numpy as np

import nnc

from .._explain import full_name, instead_of
from . import arguments, node, softmax_of_scipy  # noqa: F401  (importing node fills the tables)
from .dispatch import FUNCTIONS, REFUSED
from .operations import PLAIN, RULES, UFUNCS, Rule, write

try:
    from . import special  # noqa: F401

    softmax_of_scipy.patch()
except ImportError:  # without SciPy
    pass

INTRODUCTION = """In the table A, B and C are the operands, Y is the result and g the gradient that arrives, that of Y.
Functions of matrices take stacks of matrices, as in NumPy. Every operation can be differentiated any number of times.
At a kink `nnc.gradcheck` skips the entry and says so."""


def page():
    """The page.

    >>> print(page().splitlines()[0])
    # Functions that Nodes support
    """
    return "\n\n".join(("# Functions that Nodes support", INTRODUCTION, operations(), composed(), plain(), refused(),
                        refused_arguments())) + "\n"  # fmt: skip


def operations():
    """A line for each operation."""
    callers = defaultdict(set)
    for function, rule in (*UFUNCS.items(), *FUNCTIONS.items()):
        if isinstance(rule, Rule):
            callers[rule.name].add(full_name(function))
    lines = ["| operation | functions | Y | gradients | kinks |", "|---|---|---|---|---|"]
    for name, rule in sorted(RULES.items()):
        functions = sorted(filter(is_public, callers[name])) or [f"np.linalg.{name}"] * hasattr(np.linalg, name)
        gradients = "; ".join(formula(latex, rule) if latex else "none" for latex in rule.vjps_latex)
        kinks = "yes" if rule.kinks else ""
        lines.append(f"| {name} | {listed(functions)} | {formula(rule.latex, rule)} | {gradients} | {kinks} |")
    return "## Operations\n\n" + "\n".join(lines)


def is_public(name):
    module, name = name.rsplit(".", 1)
    return module.split(".")[0] in ("np", "scipy") or (module == "nnc" and name in nnc.__all__)


def formula(latex, rule):
    """The LaTeX between dollars, without bars, which would end the table's cell."""
    operands = dict(zip(map(str, range(1 if rule.takes else len(rule.vjps))), "ABC", strict=False))
    names = operands | {"out": "Y", "g": "g", "r": "r", "ones0": "1", "shape0": "", "shape1": ""}
    text = write(latex, names, names).replace(r"\|", r"\Vert ").replace("|", r"\vert ")
    return "$" + text.replace("_{{}}", "").replace("_{}", "") + "$"


def composed():
    names = sorted({full_name(f) for f, made in FUNCTIONS.items() if not isinstance(made, Rule)})
    return "## Functions composed of these\n\nTheir graph shows the operations.\n\n" + listed(names)


def plain():
    names = sorted({full_name(f) for f in PLAIN})
    title = "## Functions whose results have no gradient"
    return f"{title}\n\nComparisons, indices, shapes: plain arrays and numbers.\n\n{listed(names)}"


def refused():
    reasons = defaultdict(list)
    for function, reason in REFUSED.items():
        reasons[reason].append(full_name(function))
    lines = [f"- {listed(sorted(names))}: {reason}." for reason, names in reasons.items()]
    return "## Functions that are refused, and why\n\n" + "\n".join(lines)


ARGUMENTS = """NumPy's default value is accepted, as in `np.sum(x, dtype=None)` and `np.ravel(x, order="C")`. Any other
value is a TypeError."""
ELEMENTWISE = "every other universal function, such as np.exp and np.add"


def refused_arguments():
    """A line for each combination of arguments; elementwise universal functions, which share one, are one entry."""
    functions = defaultdict(set)
    for function, target in (*FUNCTIONS.items(), *UFUNCS.items()):
        try:
            names = arguments.refused(function, target)
        except ValueError:  # C functions have no signature before NumPy 2.4
            continue
        if names and is_public(full_name(function)):
            is_elementwise = isinstance(function, np.ufunc) and function.signature is None
            functions[names].add(ELEMENTWISE if is_elementwise else f"`{full_name(function)}`")
    lines = ["| arguments | functions |", "|---|---|"]
    for names, callers in sorted(functions.items(), key=lambda pair: (min(pair[1]), pair[0])):
        lines.append(f"| {listed(names)} | {' '.join(sorted(callers))} |")
    lines += ["", "| argument | what works instead |", "|---|---|"]
    lines += [f"| `{name}` | {instead_of(name)} |" for name in sorted(set().union(*functions))]
    return f"## Arguments that are not supported\n\n{ARGUMENTS}\n\n" + "\n".join(lines)


def listed(names):
    return " ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    sys.stdout.write(page())
