"""Hypotheses about a wrong line: edits of its statement, and what is in scope there."""

import ast
from dataclasses import dataclass

import numpy as np

from ..autodiff.as_numpy import derivatives


@dataclass(eq=False)
class Edit:
    tree: ast.stmt
    reason: str
    sentence: str
    cost: float
    pieces: tuple = ()  # what was inserted where: to combine edits
    is_instead: bool = False  # an edit of the reader's own line, replacing an earlier correction
    shown: str = ""  # the text to show, if it is not that of the tree

    @property
    def text(self):
        return self.shown or ast.unparse(self.tree)


@dataclass(eq=False)
class Activation:
    """An elementwise function in the forward pass: a = f(z)."""

    kind: str
    a: object  # Target
    z: object  # Target; it may have no name
    slope: float = 0.0

    def derivative(self):
        formula = derivatives(self.kind, ["a"], ["z"], self.slope)[0]
        return eval(formula, {"np": np, "a": self.a.value, "z": self.z.value}) * 1.0

    def texts(self, names_of):
        """The derivative as the reader would write it, with the names in scope."""
        return derivatives(self.kind, names_of(self.a), names_of(self.z), self.slope)


@dataclass(eq=False)
class View:
    """What is in scope at a statement."""

    scope: dict  # {text: (value, event)}
    activations: list
    names_of: object  # function of a Target: the texts in scope that have its value
    after: set  # the texts of the values that are not part of the forward pass
    parameters: set
    helpers: list  # names of the reader's functions that compute an activation's derivative

    @property
    def integers(self):
        """{text: value} of the integers."""
        found = {t: v for t, (v, _) in self.scope.items() if isinstance(v, int | np.integer)}
        return {t: int(v) for t, v in found.items() if not isinstance(v, bool) and "[" not in t}
