"""A net's outputs, and for sparse examples its loss and gradient; the engine's arrays from the estimator's and back.

The engine computes dense examples. Only the first layer sees a sparse X: Z¹ = W¹ X uses the columns of W¹ whose inputs
occur in X, and without the L2 term the other columns of ∂J/∂W¹ are 0; the rest is the primitives of `nnc.functional`.
Inside, examples are columns, as everywhere in nnc.
"""

import numpy as np
from scipy import sparse

from .. import _engine
from .. import functional as F
from ..mlp.losses import LOSSES as LOSS_ROWS

ACTIVATIONS = {
    "identity": "identity",
    "logistic": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
    "leaky_relu": "leaky_relu",
}
LOSSES = {"softmax": "cross_entropy", "logistic": "binary_cross_entropy", "identity": "squared_error", "exp": "poisson"}
SLOPE = 0.01  # of leaky_relu

_FORWARD = {
    "identity": lambda Z: Z,
    "logistic": F.sigmoid,
    "tanh": F.tanh,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
}
_BACKWARD = {
    "identity": lambda dA, A: dA,
    "logistic": F.sigmoid_backward,
    "tanh": F.tanh_backward,
    "relu": F.relu_backward,
    "leaky_relu": F.leaky_relu_backward,
}

_CHUNK = 4096  # sparse examples at a time, in a prediction


# ---- the engine's arrays ---------------------------------------------------------------------------------------------


def engine_arrays(arrays):
    """coefs (m, n) as W (n, m), intercepts (n,) as b (n, 1), C-contiguous; copied only where they are not yet."""
    return [np.ascontiguousarray(array.T) if array.ndim == 2 else array.reshape(-1, 1) for array in arrays]


def estimator_arrays(arrays):
    """The inverse, as views: coefs and intercepts from all W and then all b."""
    return [array.T if i < len(arrays) // 2 else array[:, 0] for i, array in enumerate(arrays)]


def settings(activation, layers, dtype):
    """activations, slope, mean, std: the engine's arguments after weights and biases."""
    return (ACTIVATIONS[activation],) * (layers - 1), SLOPE, np.zeros((1, 1), dtype), np.ones((1, 1), dtype)


def decay(alpha, r, weight):
    """λ of a batch of r examples: alpha divided by the sum of their weights, as their loss is; 0 if that sum is 0."""
    total = r if weight is None else weight.sum(dtype=np.float64)
    return alpha / total if total > 0 else 0.0


def loss_scale(estimator):
    """The loss of several regressions is their mean in scikit-learn, where the engine's is their sum."""
    return 1 / estimator.n_outputs_ if estimator.out_activation_ == "identity" else 1.0


# ---- outputs, loss and gradient --------------------------------------------------------------------------------------


def predict(X, coefs, intercepts, activation, out):
    """P (r, n)."""
    dtype = coefs[0].dtype
    if not sparse.issparse(X):
        W, b = engine_arrays(coefs), engine_arrays(intercepts)
        P = _engine.predict(W, b, *settings(activation, len(W), dtype), X.T, LOSSES[out])
        return np.ascontiguousarray(P.T)
    P = np.empty((X.shape[0], coefs[-1].shape[1]), dtype)
    for start in range(0, len(P), _CHUNK):
        some = slice(start, start + _CHUNK)
        P[some] = _forward(X[some], coefs, intercepts, activation, out)[2].T
    return P


def _forward(X, coefs, intercepts, activation, out):
    """(A, Z, P): the outputs of the hidden layers, the last Z, and the outputs, (n, r), of a sparse X (r, m)."""
    A = []
    Z = (X @ coefs[0]).T + intercepts[0][:, None]
    for coef, intercept in zip(coefs[1:], intercepts[1:], strict=True):
        A.append(_FORWARD[activation](Z))
        Z = F.linear(coef.T, A[-1], intercept[:, None])
    return A, Z, LOSS_ROWS[LOSSES[out]].output(Z)


def sparse_loss_and_gradient(X, y, weight, coefs, intercepts, activation, out):
    """(J, dW, db): the mean loss of a batch of sparse X (r, m), without L2, and its gradient, shaped as the coefs.

    J = Σ w L / Σ w, with w = 1 where `weight` is None. dW[0] is a pair (inputs, rows): its rows that are not zero.
    """
    r = X.shape[0]
    total = r if weight is None else weight.sum(dtype=np.float64) or 1.0
    row = LOSS_ROWS[LOSSES[out]]
    A, Z, P = _forward(X, coefs, intercepts, activation, out)
    L = row.loss(Z, y)
    J = float(L.sum() if weight is None else L @ weight) / total
    dZ = row.backward(1 / r if weight is None else weight / total, P, y)
    dW, db = [None] * len(coefs), [None] * len(coefs)
    for layer in reversed(range(len(coefs))):
        db[layer] = dZ.sum(axis=1)
        if layer == 0:
            dW[0] = _sparse_gradient(X, dZ)
        else:
            dW[layer] = F.matmul(A[layer - 1], dZ.T)
            dZ = _BACKWARD[activation](F.matmul(coefs[layer], dZ), A[layer - 1])
    return J, dW, db


def _sparse_gradient(X, dZ):
    """X^T dZ^T as (inputs, rows): no row for an input that does not occur in X."""
    inputs, where = np.unique(X.indices, return_inverse=True)
    compact = sparse.csr_array((X.data, where, X.indptr), shape=(X.shape[0], len(inputs)))
    return inputs.astype(np.intp), compact.T @ np.ascontiguousarray(dZ.T)
