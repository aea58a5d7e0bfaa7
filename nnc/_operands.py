"""Labels y, the gradient dL of the loss, and plain numbers such as a slope, made ready for the engine.

The engine takes each of these in one form. Here every form that people write becomes that one, or an error.
"""

import numpy as np

from . import _engine, _explain

# Targets are often a softmax computed in float32: each of the n is then a few units in the last place off.
EPS_F16, EPS_F32 = float(np.finfo(np.float16).eps), float(np.finfo(np.float32).eps)


def matrix(op, name, x):
    """x itself if it has a shape (an array, a Node), else an array of it; it must be (n, r)."""
    shape = getattr(x, "shape", None)
    if shape is None:
        x = np.asarray(x)
        shape = x.shape
    if len(shape) < 2:
        advice = f". One example is one column: {name}.reshape(-1, 1)" if len(shape) == 1 else ""
        raise ValueError(f"{op}: {name} is {shape}, but must be (n, r), n classes and r examples{advice}")
    return x


def targets(op, y, P):
    """(y, True) for labels (r,), now of NumPy's index type; (y, False) for targets (n, r), of the shape of P."""
    n, r = P.shape[-2:]
    if not isinstance(y, np.ndarray):
        if hasattr(y, "__array_ufunc__"):
            raise TypeError(f"{op}: y is a {type(y).__name__}, but labels are data and have no gradient; pass an array")
        y = np.asarray(y)
    if y.ndim != 2:
        return _engine.labels(op, y, n, r), True
    if y.shape != (n, r):
        hint = ". Labels are 1-D: y.reshape(-1)" if 1 in y.shape and y.size == r else ""
        hint = ". Did you mean y.T?" if y.shape == (r, n) and not hint else hint
        raise ValueError(f"{op}: y is {y.shape}, but must be ({r},), labels, or ({n}, {r}), a column an example{hint}")
    if mistake := _explain.bad_dtype(op, y=y):
        raise mistake
    i = _engine.bad_targets(y, (n + 8) * (EPS_F16 if y.dtype == np.float16 else EPS_F32))
    if i >= 0:
        total = y[:, i].sum(dtype=np.float64)
        raise ValueError(f"{op}: y[:, {i}] sums to {total:g}, but the targets of an example must sum to 1")
    return y, False


def real_dtype(*arrays):
    """The dtype that the engine computes these arrays in: float32 if each is float32 or float16, else float64."""
    for x in arrays:
        if x.dtype.kind != "f" or x.dtype.itemsize > 4:
            return np.float64
    return np.float32


def upstream(op, dL, P, dtype):
    """dL, a number or (r,), as an array (r,) of the given dtype: it never widens the result."""
    r = P.shape[-1]
    if type(dL) is float:
        full = np.empty(r, dtype)  # what np.full does, in a third of the time
        full.fill(dL)
        return full
    if hasattr(dL, "__array_ufunc__") and not isinstance(dL, (np.ndarray, np.generic)):
        raise TypeError(f"{op}: dL is a {type(dL).__name__}, but must be a number or an array")
    dL = np.asarray(dL)
    if mistake := _explain.bad_dtype(op, dL=dL):
        raise mistake
    if dL.ndim == 0:
        return np.full(r, dL, dtype)
    if dL.shape != (r,):
        hint = ". Did you mean dL.reshape(-1)?" if dL.shape in ((1, r), (r, 1)) else ""
        raise ValueError(f"{op}: dL is {dL.shape}, but must be a number or ({r},), one for each example{hint}")
    return dL.astype(dtype, copy=False)


def number(op, name, x):
    """x as a Python number, which never widens an array."""
    if type(x) is float:
        return x
    if np.ndim(x) == 0 and (isinstance(x, (np.ndarray, np.generic)) or not hasattr(x, "__array_ufunc__")):
        if np.asarray(x).dtype.kind in "buif":
            return float(x)
    raise TypeError(f"{op}: {name} must be one real number, not {x!r}")


def slope(op, x):
    x = number(op, "slope", x)
    if not x >= 0:
        raise ValueError(f"{op}: slope is {x}, but must be at least 0, or A would no longer tell the sign of Z")
    return x
