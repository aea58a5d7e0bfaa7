"""Labels y, the gradient dL of the loss, and plain numbers such as a slope, converted for the engine.

The engine takes each of these in one form. Every form that people write is converted to that one here, or is an error.
"""

import numpy as np

from . import _engine, _explain

# Targets are often a softmax computed in float32: each of the n is then off by a few units in the last place.
EPS_F16, EPS_F32 = float(np.finfo(np.float16).eps), float(np.finfo(np.float32).eps)


REAL = (np.dtype(np.float32), np.dtype(np.float64))  # what the engine computes in


def from_table(x):
    """A table or a column of pandas or polars as an array; anything else as it is."""
    return np.asarray(x) if hasattr(x, "to_numpy") else x


def matrix(op, name, x):
    """x itself if it has a shape (an array, a Node), else an array of it; it must be (n, r)."""
    x = x if isinstance(x, np.ndarray) else from_table(x)
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
        y = from_table(y)
        if hasattr(y, "__array_ufunc__") and not isinstance(y, np.ndarray):
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


def numeric_targets(op, Y, Z, low=-np.inf, high=np.inf):
    """Targets that are numbers, as an array of the shape and the dtype of Z (n, r), each of them from low to high."""
    if not isinstance(Y, np.ndarray):
        if hasattr(Y, "__array_ufunc__"):
            raise TypeError(f"{op}: Y is a {type(Y).__name__}, but targets are data without a gradient; pass an array")
        Y = np.asarray(Y)
    if mistake := _explain.bad_dtype(op, Y=Y):
        raise mistake
    shape = tuple(Z.shape)
    if Y.shape != shape:
        hint = ". Did you mean Y.T?" if Y.shape == shape[::-1] else ""
        hint = f". For one output write Y.reshape(1, {shape[-1]})" if Y.shape == shape[1:] and shape[0] == 1 else hint
        raise ValueError(f"{op}: Y is {Y.shape}, but must be {shape}, a column an example{hint}")
    if low > -np.inf:
        if not ((low <= Y) & (high >= Y) & (np.inf > Y)).all():
            at = tuple(map(int, np.argwhere(~((low <= Y) & (high >= Y) & (np.inf > Y)))[0]))
            limits = f"from {low:g} to {high:g}" if high < np.inf else f"finite and at least {low:g}"
            raise ValueError(f"{op}: Y[{', '.join(map(str, at))}] is {Y[at]}, but targets must be {limits}")
    return Y.astype(real_dtype(Z), copy=False)


def real_dtype(*arrays):
    """The dtype that the engine computes these arrays in: float32 if each is float32 or float16, else float64."""
    for x in arrays:
        if x.dtype.kind != "f" or x.dtype.itemsize > 4:
            return np.float64
    return np.float32


def alike(op, **operands):
    """The operands as arrays of the one dtype that the engine computes them in."""
    arrays = {name: np.asarray(x) for name, x in operands.items()}
    if mistake := _explain.bad_dtype(op, **arrays):
        raise mistake
    dtype = real_dtype(*arrays.values())
    return tuple(x.astype(dtype, copy=False) for x in arrays.values())


def nan_columns(P, predicted):
    """Whether each column of P has a NaN, which is what argmax finds first."""
    return np.isnan(P[predicted, np.arange(P.shape[1])])


def upstream(op, dL, P, dtype):
    """dL, a number or (r,), as an array (r,) of the given dtype: it never widens the result."""
    r = P.shape[-1]
    if type(dL) is float:
        full = np.empty(r, dtype)  # what np.full does, in a third of the time
        full.fill(dL)
        return full
    dL = from_table(dL)
    is_node = isinstance(dL, _engine.Node)
    if hasattr(dL, "__array_ufunc__") and not isinstance(dL, (np.ndarray, np.generic)) and not is_node:
        raise TypeError(f"{op}: dL is a {type(dL).__name__}, but must be a number or an array")
    dL = dL if is_node else np.asarray(dL)
    if mistake := _explain.bad_dtype(op, dL=dL):
        raise mistake
    if dL.ndim == 0 and not is_node:
        return np.full(r, dL, dtype)
    if dL.ndim == 0:
        dL = np.broadcast_to(dL, (r,))
    if dL.shape != (r,):
        hint = ". Did you mean dL.reshape(-1)?" if dL.shape in ((1, r), (r, 1)) else ""
        raise ValueError(f"{op}: dL is {dL.shape}, but must be a number or ({r},), one for each example{hint}")
    if is_node:
        return dL if dL.dtype == dtype else dL.astype(dtype)
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
        raise ValueError(f"{op}: slope is {x}, but must be at least 0, or A would not have the sign of Z")
    return x
