"""The derivation in NumPy, one line of the notes a line of code.

Every primitive of `nnc` has its twin here, under the same name and with the same arguments. The tests compare
the C engine with it, and it is the code to read and to copy into a notebook. It needs NumPy and nothing else,
checks nothing, and is written for reading, not for speed.

Conventions, as everywhere: examples are columns. X (m, r), W (n, m), b (n, 1), Z (n, r), labels y (r,) or targets
(n, r), losses L (r,). `d<name>` is the gradient of the cost with respect to <name>. `op_backward` takes the gradient of
the output first, then what the forward saved, and returns the gradients in the order of the forward's arguments.
"""

import numpy as np

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


def matmul(A, B):
    """C (n, p) = A (n, k) B (k, p), the product in eq. 3.9."""
    return A @ B


def matmul_backward(dC, A, B):
    """dA = dC Bᵀ, dB = Aᵀ dC, eq. 11.5 and its mirror image; a 1-D operand is a row (A) or a column (B)."""
    A2 = A.reshape(1, -1) if A.ndim == 1 else A
    B2 = B.reshape(-1, 1) if B.ndim == 1 else B
    dC2 = np.reshape(dC, (A2.shape[0], B2.shape[1]))
    dA = dC2 @ B2.T
    dB = A2.T @ dC2
    return dA.reshape(A.shape), dB.reshape(B.shape)


def add_bias(Z, b):
    """Z (n, r) + b (n, 1), eq. 3.9: b is broadcast along the columns."""
    return Z + b


def add_bias_backward(dZ):
    """(dZ, db): every example sees the same b, so db (n, 1) is the sum of each row of dZ (n, r), eq. 11.7."""
    return dZ, dZ.sum(axis=1, keepdims=True)


def linear(W, X, b):
    """Z (n, r) = W (n, m) X (m, r) + b (n, 1), eq. 3.9."""
    return W @ X + b


def linear_backward(dZ, W, X):
    """dW = dZ Xᵀ (eqs. 11.5, 11.6), dX = Wᵀ dZ (section 10), db = the row sums of dZ (eq. 11.7)."""
    dW = dZ @ X.T
    dX = W.T @ dZ
    db = dZ.sum(axis=1, keepdims=True)
    return dW, dX, db


# ---- activations, and their derivatives as functions of the output A -------------------------------------------------


def relu(Z):
    """max(0, z), eq. 12.3."""
    return np.maximum(0, Z)


def relu_backward(dA, A):
    """dA where a > 0, else 0 (section 12: δ_{z>0}); a NaN in A stays NaN."""
    return np.where(A > 0, dA, np.where(np.isnan(A), A, 0))


def leaky_relu(Z, slope=0.01):
    """z where z > 0, else slope z, eq. 12.4."""
    return np.where(Z > 0, Z, slope * Z)


def leaky_relu_backward(dA, A, slope=0.01):
    """dA where a > 0, else slope dA; a NaN in A stays NaN."""
    return np.where(A > 0, dA, np.where(np.isnan(A), A, slope * dA))


def sigmoid(Z):
    """σ(z) = 1 / (1 + e^{-z}), eq. 12.2."""
    return 1 / (1 + np.exp(-Z))


def sigmoid_backward(dA, A):
    """σ' = σ (1 - σ), so dZ = dA a (1 - a)."""
    return dA * A * (1 - A)


def sigmoid_gradient(dA, Z):
    """The same from the scores: 1 - σ(z) = σ(-z), which loses no digits where σ is close to 1."""
    return dA * sigmoid(Z) * sigmoid(-Z)


def tanh(Z):
    """tanh z, used from page 17 of the notes on."""
    return np.tanh(Z)


def tanh_backward(dA, A):
    """tanh' = 1 - tanh², so dZ = dA (1 - a²)."""
    return dA * (1 - A * A)


def tanh_gradient(dA, Z):
    """The same from the scores: tanh z = 2 σ(2z) - 1, so tanh' = 4 σ(2z) σ(-2z)."""
    return dA * 4 * sigmoid(2 * Z) * sigmoid(-2 * Z)


# ---- softmax, loss ---------------------------------------------------------------------------------------------------


def softmax(Z, axis=0):
    """e^{z_k} / Σ_j e^{z_j} column by column, eq. 4.2; max z is subtracted so that nothing overflows."""
    E = np.exp(Z - Z.max(axis=axis, keepdims=True))
    return E / E.sum(axis=axis, keepdims=True)


def log_softmax(Z, axis=0):
    """z_k - ln Σ_j e^{z_j}, the logarithm of eq. 4.2."""
    D = Z - Z.max(axis=axis, keepdims=True)
    return D - np.log(np.exp(D).sum(axis=axis, keepdims=True))


def softmax_backward(dP, P, axis=0):
    """From ∂p_k/∂z_i = p_k (δ_{ki} - p_i): dZ = P (dP - Σ_k dP_k P_k)."""
    return P * (dP - (dP * P).sum(axis=axis, keepdims=True))


def cross_entropy(P, y):
    """L_i = -Σ_k y_{ki} ln p_{ki}, eq. 5.1; where y is 0 nothing is added, whatever P is."""
    Y = _targets(y, P)
    with np.errstate(divide="ignore", invalid="ignore"):  # ln of a P that is not used
        return -np.where(Y == 0, 0, Y * np.log(P)).sum(axis=0)


def cross_entropy_backward(dL, P, y):
    """∂L_i/∂p_{ki} = -y_{ki} / p_{ki}."""
    Y = _targets(y, P)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(Y == 0, 0, -Y / P * dL)


def softmax_cross_entropy(Z, y):
    """L_i = -ln( e^{z_K} / Σ_j e^{z_j} ) = ln Σ_j e^{z_j} - z_K, eq. 5.2; in general -Σ_k y_k ln p_k."""
    Y = _targets(y, Z)
    with np.errstate(invalid="ignore"):
        return -np.where(Y == 0, 0, Y * log_softmax(Z)).sum(axis=0)


def softmax_cross_entropy_backward(dL, P, y):
    """∂L_i/∂z_{ki} = p_{ki} - y_{ki}, eq. 10.1; the mean of eq. 5.3 enters here and only here, as dL = 1/r."""
    return (P - _targets(y, P)) * dL


def _targets(y, P):
    """The labels y (r,) as one-hot columns, or the targets (n, r) as they are, in the dtype of P (n, r)."""
    return one_hot(y, P.shape[0], P.dtype) if np.ndim(y) == 1 else np.asarray(y, P.dtype)


# ---- losses that are sums over independent outputs -------------------------------------------------------------------


def squared_error(A, Y):
    """L_i = ½ Σ_k (a_{ki} - y_{ki})²."""
    return squared_error_terms(A, Y).sum(axis=0)


def squared_error_terms(A, Y):
    """½ (a - y)², of each output."""
    return (A - Y) ** 2 / 2


def squared_error_backward(dL, A, Y):
    """∂L_i/∂a_{ki} = a_{ki} - y_{ki}."""
    return residual(A, Y, dL)


def binary_cross_entropy(Z, Y):
    """L_i = Σ_k -y_{ki} ln σ(z_{ki}) - (1 - y_{ki}) ln(1 - σ(z_{ki}))."""
    return binary_cross_entropy_terms(Z, Y).sum(axis=0)


def binary_cross_entropy_terms(Z, Y):
    """-y ln σ(z) - (1 - y) ln(1 - σ(z)), of each output, where -ln σ(z) = ln(1 + e^{-z}) and 1 - σ(z) = σ(-z)."""
    return Y * np.logaddexp(0, -Z) + (1 - Y) * np.logaddexp(0, Z)


def binary_cross_entropy_backward(dL, A, Y):
    """∂L_i/∂z_{ki} = σ(z_{ki}) - y_{ki}, with A = σ(Z)."""
    return residual(A, Y, dL)


def poisson(Z, Y):
    """L_i = Σ_k y_{ki} ln(y_{ki} / e^{z_{ki}}) - y_{ki} + e^{z_{ki}}, half the Poisson deviance; 0 ln 0 counts as 0."""
    return poisson_terms(Z, Y).sum(axis=0)


def poisson_terms(Z, Y):
    """y ln(y / e^z) - y + e^z, of each output."""
    return np.where(Y == 0, 0, Y * (np.log(np.where(Y == 0, 1, Y)) - Z)) - Y + np.exp(Z)


def poisson_backward(dL, A, Y):
    """∂L_i/∂z_{ki} = e^{z_{ki}} - y_{ki}, with A = e^Z."""
    return residual(A, Y, dL)


def residual(A, Y, dL):
    """(A - Y) · dL, the gradient of each of the three."""
    return (A - Y) * dL


# ---- labels and predictions (section 10) -----------------------------------------------------------------------------


def one_hot(y, n, dtype=np.float64):
    """(n, r), in column i a 1 in row y_i and 0 elsewhere."""
    y = np.asarray(y).astype(int)
    Y = np.zeros((n, y.size), dtype)
    Y[y, np.arange(y.size)] = 1
    return Y


def predict(P):
    """(r,): the row of the largest probability of each column."""
    bad = np.isnan(P).any(axis=0)
    if bad.any():
        raise ValueError(f"predict: P[:, {bad.argmax()}] has a NaN, which predicts nothing")
    return P.argmax(axis=0)


def accuracy(P, y):
    """The number of predictions equal to the label, divided by the number of examples."""
    labels = y if np.ndim(y) == 1 else np.argmax(y, axis=0)
    return float(np.mean((P.argmax(axis=0) == labels) & ~np.isnan(P).any(axis=0)))


# ---- gradient descent ------------------------------------------------------------------------------------------------


def sgd(param, grad, lr):
    """w ← w - α ∂J/∂w, eqs. 6.3 and 6.4, in place."""
    param -= lr * grad
    return param
