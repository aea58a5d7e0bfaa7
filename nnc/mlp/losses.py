"""The losses of a net, a row each: the output function of the last layer, and which y the loss takes."""

from dataclasses import dataclass

import numpy as np

from .. import _direct, _engine
from .. import functional as F
from .._operands import numeric_targets, targets


@dataclass(frozen=True)
class Loss:
    """One row. `classes`: "one" class of n, "each" output a binary label, or "none" (a regression)."""

    name: str
    output_name: str  # of the output function
    output: object  # P from Z
    loss: object  # L (r,) from (Z, y)
    backward: object  # dZ from (dL, P, y)
    classes: str
    limits: tuple = ()  # of targets that are numbers

    def checked_targets(self, op, y, n, r, dtype):
        """y as the engine takes it: labels (r,) as intp, or targets (n, r) in `dtype`; ValueError if it is neither."""
        y = np.asarray(y)
        if self.classes == "one" and y.ndim != 2:
            return _engine.labels(op, y, n, r)
        Z = np.broadcast_to(dtype.type(0), (n, r))
        if self.classes == "one":
            return targets(op, y, Z)[0].astype(dtype, copy=False)
        if y.ndim == 1 and n == 1:
            y = y.reshape(1, -1)
        y = numeric_targets(op, y, Z, *self.limits)
        if not np.isfinite(y).all():
            k, i = map(int, np.argwhere(~np.isfinite(y))[0])
            raise ValueError(f"{op}: y[{k}, {i}] is {y[k, i]}, but targets must be finite")
        return y

    def predict(self, P):
        """Labels (r,), binary labels (n, r), or the outputs themselves (n, r); (r,) too where n is 1."""
        if self.classes == "one":
            return F.predict(P)
        if self.classes == "each":
            bad = np.isnan(P).any(axis=0)
            if bad.any():
                raise ValueError(f"predict: P[:, {int(np.argmax(bad))}] has a NaN, which predicts nothing")
            P = (P > 0.5).astype(np.intp)
        return P[0] if len(P) == 1 else P

    def accuracy(self, op, P, y):
        """The share of the examples all of whose outputs are right."""
        if self.classes == "none":
            raise ValueError(f"{op}: a net with the loss {self.name} has no classes; its loss tells how good it is")
        if self.classes == "one":
            return F.accuracy(P, y)
        return float(np.mean(np.all((P > 0.5) == (y > 0.5), axis=0) & ~np.isnan(P).any(axis=0)))


LOSSES = {
    row.name: row
    for row in (
        Loss("cross_entropy", "softmax", F.softmax, F.softmax_cross_entropy, F.softmax_cross_entropy_backward, "one"),
        Loss("binary_cross_entropy", "sigmoid", F.sigmoid, F.binary_cross_entropy, F.binary_cross_entropy_backward,
             "each", (0, 1)),
        Loss("squared_error", "identity", lambda Z: Z, F.squared_error, F.squared_error_backward, "none"),
        Loss("poisson", "exp", _direct.exp, F.poisson, F.poisson_backward, "none", (0,)),
    )
}  # fmt: skip
