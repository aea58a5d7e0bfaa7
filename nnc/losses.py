"""Softmax, the losses, and what has to do with labels: the other half of `nnc.functional`, whose conventions hold.

Labels y are whole numbers of any dtype, (r,), or targets, (n, r) with columns that sum to 1, one-hot or soft. A loss is
per example; the mean of eq. 5.3 comes in through `dL = 1 / r` and nowhere else.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _direct, _engine, _explain, _operands

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from .graph import Node

    Operand = ArrayLike | Node
    Out = NDArray[Any] | None
    Dtype = DTypeLike | None


def softmax(Z: Operand, axis: int = 0, *, out: Out = None, dtype: Dtype = None) -> Any:
    """p_k = e^{z_k} / Σ_j e^{z_j}, eq. 4.2, over each column unless another axis is given; a generalised ufunc.

    Parameters
    ----------
    Z : array_like, (n, r) or any other shape, at least 1-D
        No finite Z overflows.
    axis : int
    out : ndarray, of the shape of Z, optional
    dtype : float32 or float64, optional

    Returns
    -------
    P : ndarray, of the shape of Z

    Raises
    ------
    ValueError
        If Z has no such axis.

    Examples
    --------
    >>> nnc.softmax([[0.0, 1000.0], [0.0, 0.0]])
    array([[0.5, 1. ],
           [0.5, 0. ]])
    """
    try:
        if dtype is None:  # the plain calls, kept short: on small arrays the call is what costs
            if axis == 0 and (type(Z) is np.ndarray or isinstance(Z, _engine.Node)) and Z.ndim == 2:
                return _direct.softmax_columns(Z, out=out)
            if out is None:
                return _engine.softmax(Z, axis=axis)
        return _engine.softmax(Z, axis=axis, out=out, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise _explain.softmax("softmax", error, axis, out, Z=Z) from None


def log_softmax(Z: Operand, axis: int = 0, *, out: Out = None, dtype: Dtype = None) -> Any:
    """ln p_k = z_k - ln Σ_j e^{z_j}, the logarithm of eq. 4.2, exact also where p_k is too small to be written down.

    Parameters
    ----------
    Z : array_like, (n, r) or any other shape, at least 1-D
    axis : int
    out : ndarray, of the shape of Z, optional
    dtype : float32 or float64, optional

    Returns
    -------
    ndarray, of the shape of Z

    Raises
    ------
    ValueError
        If Z has no such axis.

    Examples
    --------
    >>> nnc.log_softmax([[0.0], [1000.0]])
    array([[-1000.],
           [    0.]])
    """
    try:
        if dtype is None:  # the plain calls, kept short: on small arrays the call is what costs
            if axis == 0 and (type(Z) is np.ndarray or isinstance(Z, _engine.Node)) and Z.ndim == 2:
                return _direct.log_softmax_columns(Z, out=out)
            if out is None:
                return _engine.log_softmax(Z, axis=axis)
        return _engine.log_softmax(Z, axis=axis, out=out, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise _explain.softmax("log_softmax", error, axis, out, Z=Z) from None


def softmax_backward(dP: ArrayLike, P: ArrayLike, axis: int = 0) -> Any:
    """From ∂p_k/∂z_i = p_k (δ_{ki} - p_i): dZ = P (dP - Σ_k dP_k P_k), the sum over `axis`.

    Parameters
    ----------
    dP, P : array_like, of one shape, at least 1-D
        P is the output of the forward.
    axis : int

    Returns
    -------
    dZ : ndarray, of that shape

    Raises
    ------
    ValueError
        If the shapes differ or have no such axis.

    Examples
    --------
    >>> nnc.softmax_backward([[4.0], [0.0]], P=[[0.5], [0.5]])
    array([[ 1.],
           [-1.]])
    """
    try:
        if axis == 0 and type(dP) is type(P) is np.ndarray and dP.ndim == 2 and dP.shape == P.shape:
            return _direct.softmax_backward_columns(dP, P)
        mistake = _explain.bad_same_shape("softmax_backward", "dP", dP, "P", P)
        if not mistake:
            return _engine.softmax_backward(dP, P, axis=axis)
    except (TypeError, ValueError) as error:
        mistake = _explain.softmax("softmax_backward", error, axis, dP=dP, P=P)
    raise mistake from None


# ---- both losses -----------------------------------------------------------------------------------------------------
# Plain arrays and labels go directly into the engine, which refuses a label that is none. Everything else, and every
# mistake, comes here.


def _loss(op, name, P, y, out=None, dtype=None):
    """A loss, on labels or on targets; P stands for Z, too."""
    P = _operands.matrix(op, name, P)
    y, by_label = _operands.targets(op, y, P)
    forward = _direct.OF[getattr(_engine, op if by_label else op + "_targets")]
    try:
        if out is None and dtype is None:
            return forward(P, y)
        return forward(P, y, out=out, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise _explain.loss(op, error, name, P, out) from None


def _loss_backward(op, of_labels, of_targets, dL, P, y):
    P = _operands.matrix(op, "P", P)
    y, by_label = _operands.targets(op, y, P)
    dL = _operands.upstream(op, dL, P, _operands.real_dtype(*((P,) if by_label else (P, y))))
    backward = _direct.OF[of_labels if by_label else of_targets]
    try:
        return backward(dL, P, y)
    except (TypeError, ValueError) as error:
        raise _explain.loss(op, error, "P", P) from None


def _backward(op, of_labels, of_targets):
    return _engine.direct(of_labels, _direct.UFUNCS, partial(_loss_backward, op, of_labels, of_targets))


_cross_entropy = _engine.direct(_engine.cross_entropy, _direct.UFUNCS, partial(_loss, "cross_entropy", "P"))
_softmax_cross_entropy = _engine.direct(
    _engine.softmax_cross_entropy, _direct.UFUNCS, partial(_loss, "softmax_cross_entropy", "Z"),
    _engine.loss_and_probabilities,
)  # fmt: skip
_cross_entropy_backward = _backward(
    "cross_entropy_backward", _engine.cross_entropy_backward, _engine.cross_entropy_targets_backward
)
_softmax_cross_entropy_backward = _backward(
    "softmax_cross_entropy_backward", _engine.loss_gradient, _engine.loss_gradient_targets
)


def cross_entropy(P: Operand, y: ArrayLike, *, out: Out = None, dtype: Dtype = None) -> Any:
    """L_i = -Σ_k y_{ki} ln p_{ki}, eq. 5.1.

    Parameters
    ----------
    P : array_like, (n, r)
        Probabilities. 0 at the label gives infinity; where y is 0 nothing is added, whatever P is.
    y : array_like, (r,) labels or (n, r) targets
    out : ndarray, (r,), optional
    dtype : float32 or float64, optional

    Returns
    -------
    L : ndarray, (r,)

    Raises
    ------
    ValueError
        If a label is not a whole number in 0 .. n-1 or a column of targets does not sum to 1 (the first bad one is
        named), or y has another shape.

    Examples
    --------
    >>> nnc.cross_entropy([[0.5, 0.2], [0.5, 0.8]], [1, 0])
    array([0.69314718, 1.60943791])
    """
    if out is None and dtype is None:
        return _cross_entropy(P, y)
    return _loss("cross_entropy", "P", P, y, out, dtype)


def cross_entropy_backward(dL: ArrayLike, P: ArrayLike, y: ArrayLike) -> Any:
    """∂L_i/∂p_{ki} = -y_{ki} / p_{ki}, so dP = -Y / P · dL, and 0 where y is 0.

    Parameters
    ----------
    dL : float or array_like, (r,)
        1 / r for the mean of eq. 5.3. It never widens P.
    P : array_like, (n, r)
    y : array_like, (r,) labels or (n, r) targets

    Returns
    -------
    dP : ndarray, (n, r)

    Raises
    ------
    ValueError
        For y as in `cross_entropy`, and if dL has another shape.

    Examples
    --------
    >>> nnc.cross_entropy_backward(1.0, [[0.5], [0.5]], [1])
    array([[ 0.],
           [-2.]])
    """
    return _cross_entropy_backward(dL, P, y)


def softmax_cross_entropy(Z: Operand, y: ArrayLike, *, out: Out = None, dtype: Dtype = None) -> Any:
    """L_i = -ln(e^{z_K} / Σ_j e^{z_j}) = ln Σ_j e^{z_j} - z_K, eq. 5.2: the softmax and the loss in one.

    Parameters
    ----------
    Z : array_like, (n, r)
        Scores. The loss is exact also where the probability of the label is too small to be written down.
    y : array_like, (r,) labels or (n, r) targets
    out : ndarray, (r,), optional
    dtype : float32 or float64, optional

    Returns
    -------
    L : ndarray, (r,)

    Raises
    ------
    ValueError
        For y as in `cross_entropy`.

    Examples
    --------
    >>> nnc.softmax_cross_entropy([[0.0, 1000.0], [0.0, 0.0]], [0, 1])
    array([6.93147181e-01, 1.00000000e+03])
    """
    if out is None and dtype is None:
        return _softmax_cross_entropy(Z, y)
    return _loss("softmax_cross_entropy", "Z", Z, y, out, dtype)


def softmax_cross_entropy_backward(dL: ArrayLike, P: ArrayLike, y: ArrayLike) -> Any:
    """∂L_i/∂z_{ki} = p_{ki} - y_{ki}, eq. 10.1, so dZ = (P - Y) · dL.

    Parameters
    ----------
    dL : float or array_like, (r,)
        1 / r for the mean of eq. 5.3. It never widens P.
    P : array_like, (n, r)
        softmax(Z).
    y : array_like, (r,) labels or (n, r) targets

    Returns
    -------
    dZ : ndarray, (n, r)

    Raises
    ------
    ValueError
        For y as in `cross_entropy`, and if dL has another shape.

    Examples
    --------
    >>> nnc.softmax_cross_entropy_backward(1.0, [[0.25], [0.75]], [1])
    array([[ 0.25],
           [-0.25]])
    """
    return _softmax_cross_entropy_backward(dL, P, y)


# ---- labels and predictions (section 10) -----------------------------------------------------------------------------


def one_hot(y: ArrayLike, n: int, dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """Y (n, r): in column i a 1 in row y_i, and 0 elsewhere.

    Parameters
    ----------
    y : array_like, (r,)
        Labels, whole numbers of any dtype in 0 .. n-1.
    n : int
        The number of classes.
    dtype : dtype

    Returns
    -------
    Y : ndarray, (n, r)

    Raises
    ------
    ValueError
        If a label is not a whole number in 0 .. n-1; the first bad one is named.

    Examples
    --------
    >>> nnc.one_hot([1, 0, 1], 2)
    array([[0., 1., 0.],
           [1., 0., 1.]])
    """
    r = np.size(y)
    y = _engine.labels("one_hot", y, n, r)
    Y = np.zeros((n, r), dtype)
    Y[y, np.arange(r)] = 1
    return Y


def predict(P: ArrayLike) -> NDArray[np.intp]:
    """The row of the largest probability of each column; the first one at a tie.

    Parameters
    ----------
    P : array_like, (n, r)
        Scores Z do as well: the softmax keeps their order.

    Returns
    -------
    ndarray of intp, (r,)

    Raises
    ------
    ValueError
        If P is not 2-D or has no rows.

    Examples
    --------
    >>> nnc.predict([[0.1, 0.7], [0.9, 0.3]])
    array([1, 0])
    """
    P = _operands.matrix("predict", "P", P)
    if P.shape[0] == 0 or P.ndim != 2:
        raise ValueError(f"predict: P is {P.shape}, but must be (n, r) with at least one class")
    return np.argmax(P, axis=0)


def accuracy(P: ArrayLike, y: ArrayLike) -> float:
    """The number of predictions equal to the label, divided by the number of examples (section 10).

    Parameters
    ----------
    P : array_like, (n, r)
        Probabilities, or scores.
    y : array_like, (r,) labels or (n, r) targets
        Of targets, the largest of each column counts as the label.

    Returns
    -------
    float, in 0 .. 1

    Raises
    ------
    ValueError
        For y as in `cross_entropy`, and if there are no examples.

    Examples
    --------
    >>> nnc.accuracy([[0.1, 0.7], [0.9, 0.3]], [1, 1])
    0.5
    """
    P = _operands.matrix("accuracy", "P", P)
    y, by_label = _operands.targets("accuracy", y, P)
    if P.shape[1] == 0:
        raise ValueError(f"accuracy: P is {P.shape}, without examples, and 0 / 0 is no number")
    return float(np.mean(predict(P) == (y if by_label else np.argmax(y, axis=0))))
