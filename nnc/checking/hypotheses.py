"""What a hypothesis about a line is: an edit of its statement, and what the statement can see."""

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
    is_instead: bool = False  # of the line as it stands there, instead of the change that was made to it before
    shown: str = ""  # what is shown instead of the tree

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
        """The derivative as the reader would write it, with the names that can be seen."""
        return derivatives(self.kind, names_of(self.a), names_of(self.z), self.slope)


@dataclass(eq=False)
class View:
    """What a statement can see."""

    scope: dict  # {text: (value, event)}
    activations: list
    names_of: object  # of a Target: the texts in the scope that have its value
    after: set  # the texts of what was assigned after the forward pass, or beside it
    parameters: set
    helpers: list  # names of the reader's functions for an activation's derivative

    @property
    def whole(self):
        """{text: value} of the integers."""
        found = {t: v for t, (v, _) in self.scope.items() if isinstance(v, int | np.integer)}
        return {t: int(v) for t, v in found.items() if not isinstance(v, bool) and "[" not in t}
