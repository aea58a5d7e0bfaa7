"""The primitives as people call them: every line of the derivation, forward and backward, run by the C engine.

Each is a NumPy universal function (`relu`, `sigmoid`, `tanh`) or a thin function around a (generalised) one, with names
and defaults from the derivation and readable errors. Its twin in plain NumPy has the same name in `nnc.reference`.

Labels y are whole numbers of any dtype, (r,), or targets, (n, r) with columns that sum to 1, one-hot or soft. A loss is
per example; the mean of eq. 5.3 comes in through `dL = 1 / r` and nowhere else.

Conventions. Examples are columns: X (m, r), W (n, m), b (n, 1), Z, A, P (n, r), labels y (r,), losses L (r,).
float32 stays float32, float64 stays float64, mixed becomes float64, float16 becomes float32, integer and bool arrays
count as float64; anything else is a TypeError. Python numbers, `slope`, `dL` and `lr` never widen. Strides, alignment
and byte order do not matter; inputs are never written; `out` may overlap them. `op_backward` takes the gradient of the
output, then what the forward saved, and returns new arrays, the gradients in the order of the forward's arguments.

Plain arrays of one dtype, and a plain `out`, go to the engine without NumPy's dispatch, which takes longer than a small
product (`nnc._direct`). Operands that define `__array_ufunc__`, such as `nnc.Node`, reach the engine's ufunc as they
are, and NumPy dispatches to them: a Node sees one call of the ufunc `linear` on (W, X, b), say, and so each primitive
is one node of its graph.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _direct, _engine, _explain, _operands

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    Operand = ArrayLike | _engine.Node  # the base of nnc.Node
    Out = NDArray[Any] | None
    Dtype = DTypeLike | None

__all__ = [
    "matmul", "matmul_backward", "add_bias", "add_bias_backward", "linear", "linear_backward",
    "relu", "relu_backward", "leaky_relu", "leaky_relu_backward",
    "sigmoid", "sigmoid_backward", "tanh", "tanh_backward",
    "softmax", "log_softmax", "softmax_backward",
    "cross_entropy", "cross_entropy_backward", "softmax_cross_entropy", "softmax_cross_entropy_backward",
    "squared_error", "squared_error_backward", "binary_cross_entropy", "binary_cross_entropy_backward",
    "poisson", "poisson_backward",
    "one_hot", "predict", "accuracy", "sgd",
]  # fmt: skip


# ---- scores of a layer -----------------------------------------------------------------------------------------------


def matmul(A: Operand, B: Operand, *, out: Out = None, dtype: Dtype = None) -> Any:
    """C = A B, the product in eq. 3.9; a generalised ufunc ``(n?,k),(k,p?)->(n?,p?)``.

    Parameters
    ----------
    A : array_like, (n, k) or (k,)
    B : array_like, (k, p) or (k,)
        Further dimensions in front are stacks of matrices and broadcast. k = 0 gives zeros.
    out : ndarray, (n, p), optional
    dtype : float32 or float64, optional
        The dtype to compute in; by default the operands'.

    Returns
    -------
    C : ndarray, (n, p), (n,) or (p,), or a number

    Raises
    ------
    ValueError
        If A's columns are not as many as B's rows, or out is not of the shape of C.

    Examples
    --------
    >>> nnc.matmul([[1.0, 2.0]], [[3.0], [4.0]])
    array([[11.]])
    """
    try:
        if out is None and dtype is None:  # the plain call, kept short: on small arrays the call is what costs
            return _direct.matmul(A, B)
        return _direct.matmul(A, B, out=out, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise _explain.matmul(error, A, B, out) from None


def matmul_backward(dC: ArrayLike, A: ArrayLike, B: ArrayLike) -> tuple[Any, Any]:
    """dA = dC Bᵀ, dB = Aᵀ dC, eq. 11.5 and its mirror image.

    Parameters
    ----------
    dC : array_like, of the shape of C = matmul(A, B)
    A : array_like, (n, k) or (k,)
    B : array_like, (k, p) or (k,)

    Returns
    -------
    dA, dB : ndarray, of the shapes of A and B

    Raises
    ------
    ValueError
        If an operand has more than two dimensions, A and B do not fit each other, or dC does not fit them.

    Examples
    --------
    >>> nnc.matmul_backward([[1.0]], [[1.0, 2.0]], [[3.0], [4.0]])
    (array([[3., 4.]]), array([[1.],
           [2.]]))
    """
    try:
        A, B = np.asarray(A), np.asarray(B)
    except TypeError:
        if not _is_node(A, B):
            raise
    plain = type(dC) is np.ndarray and A.ndim == B.ndim == 2 and dC.dtype is A.dtype is B.dtype in _operands.REAL
    if not plain or dC.shape != A.shape[:1] + B.shape[1:] or A.shape[1:] != B.shape[:1]:
        return (_matmul_backward_of_nodes if _is_node(dC, A, B) else _matmul_backward_of_vectors)(dC, A, B)
    try:
        return _direct.matmul(dC, B.T), _direct.matmul(A.T, dC)
    except (TypeError, ValueError) as error:
        raise _explain.bad_matmul_backward(dC, A, B) or error from None


def _matmul_backward_of_vectors(dC, A, B):
    """The same, where A may be a row, B a column and dC a number, and dtypes may differ."""
    if mistake := _explain.bad_matmul_backward(dC, A, B):
        raise mistake
    dC = np.asarray(dC, _operands.real_dtype(A, B) if type(dC) in (int, float) else None)
    dC, A, B = _operands.alike("matmul_backward", dC=dC, A=A, B=B)
    row, column = np.atleast_2d(A), B.reshape(-1, 1) if B.ndim == 1 else B
    dC = dC.reshape(row.shape[0], column.shape[1])
    return matmul(dC, column.T).reshape(A.shape), matmul(row.T, dC).reshape(B.shape)


def _is_node(*operands):
    return any(isinstance(x, _engine.Node) for x in operands)


def _matmul_backward_of_nodes(dC, A, B):
    """The same if one of them is a Node; so are the gradients computed from it."""
    if mistake := _explain.bad_matmul_backward(dC, A, B):
        raise mistake
    row = np.reshape(A, (1, -1)) if np.ndim(A) == 1 else A
    column = np.reshape(B, (-1, 1)) if np.ndim(B) == 1 else B
    dC = np.reshape(dC, (np.shape(row)[0], np.shape(column)[1]))
    dA, dB = matmul(dC, np.transpose(column)), matmul(np.transpose(row), dC)
    return np.reshape(dA, np.shape(A)), np.reshape(dB, np.shape(B))


def add_bias(Z: Operand, b: Operand, *, out: Out = None, dtype: Dtype = None) -> Any:
    """Z + b, the sum in eq. 3.9: b is added to every column; a generalised ufunc ``(n,r),(n,1)->(n,r)``.

    Parameters
    ----------
    Z : array_like, (n, r)
    b : array_like, (n, 1)
    out : ndarray, (n, r), optional
    dtype : float32 or float64, optional

    Returns
    -------
    ndarray, (n, r)

    Raises
    ------
    ValueError
        If b is not (n, 1). A 1-D b is refused, since NumPy would broadcast it along the batch whenever n = r.

    Examples
    --------
    >>> nnc.add_bias([[1.0, 2.0], [3.0, 4.0]], [[10.0], [20.0]])
    array([[11., 12.],
           [23., 24.]])
    """
    try:
        if out is None and dtype is None:
            return _direct.add_bias(Z, b)
        return _direct.add_bias(Z, b, out=out, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise _explain.add_bias(error, Z, b, out) from None


def add_bias_backward(dZ: ArrayLike) -> tuple[Any, Any]:
    """(dZ, db): every example uses b, so db is the sum of each row of dZ, eq. 11.7.

    Parameters
    ----------
    dZ : array_like, (n, r)

    Returns
    -------
    dZ : ndarray, (n, r)
        The same array, unless it must be converted to float32 or float64.
    db : ndarray, (n, 1)

    Raises
    ------
    ValueError
        If dZ is not 2-D.

    Examples
    --------
    >>> dZ, db = nnc.add_bias_backward(np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> db
    array([[3.],
           [7.]])
    """
    try:
        dZ = np.asarray(dZ)
    except TypeError:
        if not _is_node(dZ):
            raise
        return dZ, _direct.add_bias_backward(dZ)
    if not (dZ.dtype.isnative and dZ.dtype in _operands.REAL):
        (dZ,) = _operands.alike("add_bias_backward", dZ=dZ)
    try:
        return dZ, _direct.add_bias_backward(dZ)
    except (TypeError, ValueError) as error:
        op = "add_bias_backward"
        raise _explain.bad_dtype(op, dZ=dZ) or _explain.bad_matrix(op, "dZ", dZ) or error from None


def linear(W: Operand, X: Operand, b: Operand, *, out: Out = None, dtype: Dtype = None) -> Any:
    """Z = W X + b, the scores of a layer, eq. 3.9; a generalised ufunc ``(n,m),(m,r),(n,1)->(n,r)``.

    Parameters
    ----------
    W : array_like, (n, m)
    X : array_like, (m, r)
        Images stored as rows go in as ``images.T``, which copies nothing.
    b : array_like, (n, 1)
    out : ndarray, (n, r), optional
    dtype : float32 or float64, optional

    Returns
    -------
    Z : ndarray, (n, r)

    Raises
    ------
    ValueError
        If W's columns are not as many as X's rows, or b is not (n, 1); a 1-D b is refused, too.

    Examples
    --------
    >>> nnc.linear([[1.0, 2.0]], [[3.0], [4.0]], [[0.5]])
    array([[11.5]])
    """
    try:
        if out is None and dtype is None:
            return _direct.linear(W, X, b)
        return _direct.linear(W, X, b, out=out, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise _explain.linear(error, W, X, b, out) from None


def linear_backward(dZ: ArrayLike, W: ArrayLike, X: ArrayLike) -> tuple[Any, Any, Any]:
    """dW = dZ Xᵀ (eqs. 11.5, 11.6), dX = Wᵀ dZ (section 10), db = the row sums of dZ (eq. 11.7).

    Parameters
    ----------
    dZ : array_like, (n, r)
    W : array_like, (n, m)
    X : array_like, (m, r)

    Returns
    -------
    dW, dX, db : ndarray, (n, m), (m, r) and (n, 1)

    Raises
    ------
    ValueError
        If a shape does not fit the others.

    Examples
    --------
    >>> dW, dX, db = nnc.linear_backward([[1.0, 1.0]], W=[[2.0]], X=[[3.0, 4.0]])
    >>> dW, dX, db
    (array([[7.]]), array([[2., 2.]]), array([[2.]]))
    """
    try:
        dZ, W, X = np.asarray(dZ), np.asarray(W), np.asarray(X)
    except TypeError:
        if not _is_node(dZ, W, X):
            raise
        if mistake := _explain.bad_linear_backward(dZ, W, X):
            raise mistake from None
        return *_matmul_backward_of_nodes(dZ, W, X), add_bias_backward(dZ)[1]
    # No two of the three products check all shapes, so they are checked first.
    if dZ.ndim != 2 or dZ.shape != W.shape[:1] + X.shape[1:] or W.shape[1:] != X.shape[:1]:
        raise _explain.bad_linear_backward(dZ, W, X)
    if not dZ.dtype is W.dtype is X.dtype in _operands.REAL:
        dZ, W, X = _operands.alike("linear_backward", dZ=dZ, W=W, X=X)
    try:
        return _direct.matmul(dZ, X.T), _direct.matmul(W.T, dZ), _direct.add_bias_backward(dZ)
    except (TypeError, ValueError) as error:
        raise _explain.bad_linear_backward(dZ, W, X) or error from None


# ---- activations -----------------------------------------------------------------------------------------------------
# The backward functions take the output A of the forward: f' of each of these can be written as a function of it.

relu: np.ufunc = _direct.relu
relu.__doc__ = """relu(Z): max(0, z), eq. 12.3.

Parameters
----------
Z : array_like, any shape

Returns
-------
ndarray, of the shape of Z

Raises
------
TypeError
    If Z is not real numbers.
ValueError
    If `out` is not of the shape of Z.

Notes
-----
`out`, `where`, `dtype` and the other keywords are those of every `numpy.ufunc`.

Examples
--------
>>> nnc.relu([-1.0, 2.0])
array([0., 2.])
"""

sigmoid: np.ufunc = _direct.sigmoid
sigmoid.__doc__ = """sigmoid(Z): 1 / (1 + e^{-z}), eq. 12.2; no z overflows.

Parameters
----------
Z : array_like, any shape

Returns
-------
ndarray, of the shape of Z

Raises
------
TypeError
    If Z is not real numbers.
ValueError
    If `out` is not of the shape of Z.

Notes
-----
`out`, `where`, `dtype` and the other keywords are those of every `numpy.ufunc`.

Examples
--------
>>> nnc.sigmoid([0.0, -1000.0])
array([0.5, 0. ])
"""

tanh: np.ufunc = _direct.tanh
tanh.__doc__ = """tanh(Z): the hyperbolic tangent of each element.

Parameters
----------
Z : array_like, any shape

Returns
-------
ndarray, of the shape of Z

Raises
------
TypeError
    If Z is not real numbers.
ValueError
    If `out` is not of the shape of Z.

Notes
-----
`out`, `where`, `dtype` and the other keywords are those of every `numpy.ufunc`.

Examples
--------
>>> nnc.tanh([0.0, 100.0])
array([0., 1.])
"""


def leaky_relu(Z: Operand, slope: float = 0.01, *, out: Out = None, dtype: Dtype = None) -> Any:
    """z where z > 0, else slope z, eq. 12.4.

    Parameters
    ----------
    Z : array_like, any shape
    slope : float, at least 0
    out : ndarray, of the shape of Z, optional
    dtype : float32 or float64, optional

    Returns
    -------
    A : ndarray, of the shape of Z

    Raises
    ------
    ValueError
        If slope is negative: A would not have the sign of Z, which its derivative needs.

    Examples
    --------
    >>> nnc.leaky_relu([-100.0, 0.0, 3.0])
    array([-1.,  0.,  3.])
    """
    if type(slope) is not float or not slope >= 0:
        slope = _operands.slope("leaky_relu", slope)
    try:
        if out is None and dtype is None:
            return _direct.leaky_relu(Z, slope)
        return _direct.leaky_relu(Z, slope, out=out, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise _explain.elementwise("leaky_relu", error, out, Z=Z) from None


def _is_same_shape(a, b):
    """Whether two shapes are equal, one is a number's, or both are of (stacks of) matrices of one shape."""
    return a == b or not a or not b or min(len(a), len(b)) > 1 and a[-2:] == b[-2:]


def _activation_backward(op):
    """The engine's ufunc for operands of one shape only: it would broadcast (n, 1) and (r,)."""
    ufunc = getattr(_engine, op)

    def refuse_or_compute(dA, A, *slope):
        if getattr(dA, "shape", None) != getattr(A, "shape", ()) and not _is_same_shape(np.shape(dA), np.shape(A)):
            raise _explain.bad_same_shape(op, "dA", dA, "A", A)
        return ufunc(dA, A, *slope)

    return _engine.direct(ufunc, _direct.UFUNCS, refuse_or_compute)


_relu_backward, _leaky_relu_backward, _sigmoid_backward, _tanh_backward = map(
    _activation_backward, ("relu_backward", "leaky_relu_backward", "sigmoid_backward", "tanh_backward")
)


def relu_backward(dA: ArrayLike, A: ArrayLike) -> Any:
    """dA where a > 0, else 0 (section 12: δ_{z>0}); a NaN in A stays NaN.

    Parameters
    ----------
    dA, A : array_like, of one shape
        One of them may be a single number, or a matrix if the other is a stack of matrices.

    Returns
    -------
    dZ : ndarray, of that shape

    Raises
    ------
    ValueError
        If their shapes are not the same: (n, 1) and (r,) would broadcast to (n, r).
    TypeError
        If they are not real numbers.

    Examples
    --------
    >>> nnc.relu_backward([5.0, 5.0], A=[0.0, 2.0])
    array([0., 5.])
    """
    try:
        return _relu_backward(dA, A)
    except (TypeError, ValueError) as error:
        raise _explain.elementwise("relu_backward", error, dA=dA, A=A) from None


def leaky_relu_backward(dA: ArrayLike, A: ArrayLike, slope: float = 0.01) -> Any:
    """dA where a > 0, else slope dA; a NaN in A stays NaN.

    Parameters
    ----------
    dA, A : array_like, of one shape
        One of them may be a single number, or a matrix if the other is a stack of matrices.
    slope : float, at least 0

    Returns
    -------
    dZ : ndarray, of that shape

    Raises
    ------
    ValueError
        If slope is negative, or the shapes are not the same: (n, 1) and (r,) would broadcast to (n, r).
    TypeError
        If an operand is not real numbers.

    Examples
    --------
    >>> nnc.leaky_relu_backward([5.0, 5.0], A=[-1.0, 2.0])
    array([0.05, 5.  ])
    """
    if type(slope) is not float or not slope >= 0:
        slope = _operands.slope("leaky_relu_backward", slope)
    try:
        return _leaky_relu_backward(dA, A, slope)
    except (TypeError, ValueError) as error:
        raise _explain.elementwise("leaky_relu_backward", error, dA=dA, A=A) from None


def sigmoid_backward(dA: ArrayLike, A: ArrayLike) -> Any:
    """σ' = σ (1 - σ), so dZ = dA a (1 - a).

    Parameters
    ----------
    dA, A : array_like, of one shape
        One of them may be a single number, or a matrix if the other is a stack of matrices.

    Returns
    -------
    dZ : ndarray, of that shape

    Raises
    ------
    ValueError
        If their shapes are not the same: (n, 1) and (r,) would broadcast to (n, r).
    TypeError
        If they are not real numbers.

    Examples
    --------
    >>> nnc.sigmoid_backward([4.0], A=[0.5])
    array([1.])
    """
    try:
        return _sigmoid_backward(dA, A)
    except (TypeError, ValueError) as error:
        raise _explain.elementwise("sigmoid_backward", error, dA=dA, A=A) from None


def tanh_backward(dA: ArrayLike, A: ArrayLike) -> Any:
    """tanh' = 1 - tanh², so dZ = dA (1 - a²).

    Parameters
    ----------
    dA, A : array_like, of one shape
        One of them may be a single number, or a matrix if the other is a stack of matrices.

    Returns
    -------
    dZ : ndarray, of that shape

    Raises
    ------
    ValueError
        If their shapes are not the same: (n, 1) and (r,) would broadcast to (n, r).
    TypeError
        If they are not real numbers.

    Examples
    --------
    >>> nnc.tanh_backward([4.0], A=[0.5])
    array([3.])
    """
    try:
        return _tanh_backward(dA, A)
    except (TypeError, ValueError) as error:
        raise _explain.elementwise("tanh_backward", error, dA=dA, A=A) from None


# ---- softmax, losses, labels ----------------------------------------------------------------------------------------


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
                return _engine.softmax(Z if type(Z) is np.ndarray else _operands.from_table(Z), axis=axis)
        return _engine.softmax(_operands.from_table(Z), axis=axis, out=out, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise _explain.softmax("softmax", error, axis, out, Z=Z) from None


def log_softmax(Z: Operand, axis: int = 0, *, out: Out = None, dtype: Dtype = None) -> Any:
    """ln p_k = z_k - ln Σ_j e^{z_j}, the logarithm of eq. 4.2, exact also where p_k is too small to be represented.

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
                return _engine.log_softmax(Z if type(Z) is np.ndarray else _operands.from_table(Z), axis=axis)
        return _engine.log_softmax(_operands.from_table(Z), axis=axis, out=out, dtype=dtype)
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
        dP, P = _operands.from_table(dP), _operands.from_table(P)
        mistake = _explain.bad_same_shape("softmax_backward", "dP", dP, "P", P)
        if not mistake:
            return _engine.softmax_backward(dP, P, axis=axis)
    except (TypeError, ValueError) as error:
        mistake = _explain.softmax("softmax_backward", error, axis, dP=dP, P=P)
    raise mistake from None


# ---- both losses -----------------------------------------------------------------------------------------------------
# Plain arrays and labels go directly into the engine, which refuses a label out of range. Everything else, and every
# error, comes here.


def _loss(op, name, P, y, out=None, dtype=None):
    """A loss, on labels or on targets; P may also be Z."""
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
    dL = _operands.upstream(op, dL, P, _operands.real_dtype(P))
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
    _engine.softmax_cross_entropy_saving,
)  # fmt: skip
_cross_entropy_backward = _backward(
    "cross_entropy_backward", _engine.cross_entropy_backward, _engine.cross_entropy_targets_backward
)
_softmax_cross_entropy_backward = _backward(
    "softmax_cross_entropy_backward",
    _engine.softmax_cross_entropy_backward,
    _engine.softmax_cross_entropy_targets_backward,
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
        Scores. The loss is exact also where the probability of the label is too small to be represented.
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


# ---- losses that are sums over independent outputs -------------------------------------------------------------------


def _numeric_loss(op, name, Z, Y, limits, out, dtype):
    """A loss of scores or outputs Z, which the errors call `name`, and of targets that are numbers."""
    Z = _operands.matrix(op, name, Z)
    Y = _operands.numeric_targets(op, Y, Z, *limits)
    forward = _direct.OF[getattr(_engine, op)]
    try:
        if out is None and dtype is None:
            return forward(Z, Y)
        return forward(Z, Y, out=out, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise _explain.loss(op, error, name, Z, out) from None


def _numeric_loss_backward(op, dL, A, Y, limits):
    A = _operands.matrix(op, "A", A)
    Y = _operands.numeric_targets(op, Y, A, *limits)
    dL = _operands.upstream(op, dL, A, _operands.real_dtype(A))
    try:
        return _direct.OF[getattr(_engine, op)](dL, A, Y)
    except (TypeError, ValueError) as error:
        raise _explain.loss(op, error, "A", A) from None


_ANY, _FROM_0_TO_1, _COUNTS = (), (0, 1), (0,)  # limits of targets


def squared_error(A: Operand, Y: Operand, *, out: Out = None, dtype: Dtype = None) -> Any:
    """L_i = ½ Σ_k (a_{ki} - y_{ki})², the loss of a regression.

    Parameters
    ----------
    A : array_like, (n, r)
        The outputs.
    Y : array_like, (n, r)
        The targets; they never widen A.
    out : ndarray, (r,), optional
    dtype : float32 or float64, optional

    Returns
    -------
    L : ndarray, (r,)

    Raises
    ------
    ValueError
        If Y is not of the shape of A, or A is not 2-D.

    Examples
    --------
    >>> nnc.squared_error([[1.0, 2.0], [0.0, 0.0]], [[0.0, 2.0], [3.0, 0.0]])
    array([5., 0.])
    """
    return _numeric_loss("squared_error", "A", A, Y, _ANY, out, dtype)


def squared_error_backward(dL: ArrayLike, A: ArrayLike, Y: ArrayLike) -> Any:
    """∂L_i/∂a_{ki} = a_{ki} - y_{ki}, so dA = (A - Y) · dL.

    Parameters
    ----------
    dL : float or array_like, (r,)
        1 / r for the mean of eq. 5.3. It never widens A.
    A, Y : array_like, (n, r)

    Returns
    -------
    dA : ndarray, (n, r)

    Raises
    ------
    ValueError
        If a shape does not fit.

    Examples
    --------
    >>> nnc.squared_error_backward(0.5, [[1.0, 2.0]], [[0.0, 2.0]])
    array([[0.5, 0. ]])
    """
    return _numeric_loss_backward("squared_error_backward", dL, A, Y, _ANY)


def binary_cross_entropy(Z: Operand, Y: ArrayLike, *, out: Out = None, dtype: Dtype = None) -> Any:
    """L_i = Σ_k -y_{ki} ln σ(z_{ki}) - (1 - y_{ki}) ln(1 - σ(z_{ki})): the logistic function and the loss in one.

    Each of the n outputs is a binary label, unlike the n classes of `softmax_cross_entropy`.

    Parameters
    ----------
    Z : array_like, (n, r)
        Scores. The loss is exact also where σ(z) or 1 - σ(z) is too small to be represented.
    Y : array_like, (n, r)
        Numbers from 0 to 1; never widens Z.
    out : ndarray, (r,), optional
    dtype : float32 or float64, optional

    Returns
    -------
    L : ndarray, (r,)

    Raises
    ------
    ValueError
        If Y is not of the shape of Z, or a target is not from 0 to 1 (the first bad one is named).

    Examples
    --------
    >>> nnc.binary_cross_entropy([[0.0, 1000.0]], [[1, 0]])
    array([6.93147181e-01, 1.00000000e+03])
    """
    return _numeric_loss("binary_cross_entropy", "Z", Z, Y, _FROM_0_TO_1, out, dtype)


def binary_cross_entropy_backward(dL: ArrayLike, A: ArrayLike, Y: ArrayLike) -> Any:
    """∂L_i/∂z_{ki} = σ(z_{ki}) - y_{ki}, so dZ = (A - Y) · dL with A = σ(Z).

    Parameters
    ----------
    dL : float or array_like, (r,)
        1 / r for the mean of eq. 5.3. It never widens A.
    A : array_like, (n, r)
        sigmoid(Z).
    Y : array_like, (n, r)

    Returns
    -------
    dZ : ndarray, (n, r)

    Raises
    ------
    ValueError
        For Y as in `binary_cross_entropy`, and if dL has another shape.

    Examples
    --------
    >>> nnc.binary_cross_entropy_backward(1.0, [[0.25, 0.5]], [[1, 0]])
    array([[-0.75,  0.5 ]])
    """
    return _numeric_loss_backward("binary_cross_entropy_backward", dL, A, Y, _FROM_0_TO_1)


def poisson(Z: Operand, Y: ArrayLike, *, out: Out = None, dtype: Dtype = None) -> Any:
    """L_i = Σ_k y_{ki} ln(y_{ki} / μ_{ki}) - y_{ki} + μ_{ki} with μ = e^z: half the Poisson deviance, for counts.

    Parameters
    ----------
    Z : array_like, (n, r)
        Scores: the logarithms of the means μ.
    Y : array_like, (n, r)
        Numbers from 0 up, counts mostly; never widens Z. 0 ln 0 counts as 0.
    out : ndarray, (r,), optional
    dtype : float32 or float64, optional

    Returns
    -------
    L : ndarray, (r,)

    Raises
    ------
    ValueError
        If Y is not of the shape of Z, or a target is negative or not finite (the first bad one is named).

    Examples
    --------
    >>> nnc.poisson([[0.0, 0.0]], [[1, 0]])
    array([0., 1.])
    """
    return _numeric_loss("poisson", "Z", Z, Y, _COUNTS, out, dtype)


def poisson_backward(dL: ArrayLike, A: ArrayLike, Y: ArrayLike) -> Any:
    """∂L_i/∂z_{ki} = e^{z_{ki}} - y_{ki}, so dZ = (A - Y) · dL with A = e^Z.

    Parameters
    ----------
    dL : float or array_like, (r,)
        1 / r for the mean of eq. 5.3. It never widens A.
    A : array_like, (n, r)
        exp(Z).
    Y : array_like, (n, r)

    Returns
    -------
    dZ : ndarray, (n, r)

    Raises
    ------
    ValueError
        For Y as in `poisson`, and if dL has another shape.

    Examples
    --------
    >>> nnc.poisson_backward(1.0, [[2.0, 0.5]], [[3, 0]])
    array([[-1. ,  0.5]])
    """
    return _numeric_loss_backward("poisson_backward", dL, A, Y, _COUNTS)


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
        Scores Z give the same: the softmax keeps their order.

    Returns
    -------
    ndarray of intp, (r,)

    Raises
    ------
    ValueError
        If P is not 2-D or has no rows, or a column has a NaN, which predicts nothing.

    Examples
    --------
    >>> nnc.predict([[0.1, 0.7], [0.9, 0.3]])
    array([1, 0])
    """
    if (predicted := _engine.argmax(P)) is not None:
        return predicted
    P = _operands.matrix("predict", "P", P)
    if P.shape[0] == 0 or P.ndim != 2:
        raise ValueError(f"predict: P is {P.shape}, but must be (n, r) with at least one class")
    if mistake := _explain.bad_dtype("predict", P=P):
        raise mistake
    predicted = np.argmax(P, axis=0)
    if (bad := _operands.nan_columns(P, predicted)).any():
        raise ValueError(f"predict: P[:, {np.argmax(bad)}] has a NaN, which predicts nothing")
    return predicted


def accuracy(P: ArrayLike, y: ArrayLike) -> float:
    """The number of predictions equal to the label, divided by the number of examples (section 10).

    Parameters
    ----------
    P : array_like, (n, r)
        Probabilities, or scores. A column with a NaN predicts nothing, and so is wrong.
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
        raise ValueError(f"accuracy: P is {P.shape}, without examples, and 0 / 0 is not a number")
    predicted = np.argmax(P, axis=0)
    is_right = predicted == (y if by_label else np.argmax(y, axis=0))
    return float(np.mean(is_right & ~_operands.nan_columns(P, predicted)))


# ---- gradient descent ------------------------------------------------------------------------------------------------


def sgd(param: NDArray[Any], grad: ArrayLike, lr: float) -> NDArray[Any]:
    """w ← w - α ∂J/∂w, eqs. 6.3 and 6.4, in place.

    Parameters
    ----------
    param : ndarray of floats
        Changed in place, as no other operand in `nnc` is. Any strides.
    grad : array_like, of the shape of param
    lr : float
        α, the learning rate.

    Returns
    -------
    param : ndarray
        The same array.

    Raises
    ------
    TypeError
        If param is not an array of floats: an integer array cannot hold the step.
    ValueError
        If param is read-only or grad has another shape. Then param is unchanged.

    Examples
    --------
    >>> w = np.array([1.0, 2.0])
    >>> nnc.sgd(w, [10.0, 0.0], lr=0.01)
    array([0.9, 2. ])
    >>> w
    array([0.9, 2. ])
    """
    if type(lr) is not float:
        lr = _operands.number("sgd", "lr", lr)
    grad = np.asarray(grad)
    if not isinstance(param, np.ndarray) or grad.shape != param.shape:
        raise _explain.sgd(None, param, grad)
    try:
        return _direct.sgd(param, grad, lr, out=param)
    except (TypeError, ValueError) as error:
        raise _explain.sgd(error, param, grad) from None
