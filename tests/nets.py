"""A net and its training as in the notes, with `nnc.reference` and NumPy alone: the reference for `nnc.MLP`."""

import engine_rows
import numpy as np

from nnc import reference as ref

ACTIVATIONS = {  # (forward, backward) of every row of csrc/activations.inc
    name: (lambda Z: Z, lambda dA, A: dA)
    if name == "identity"
    else (getattr(ref, name), getattr(ref, f"{name}_backward"))
    for name in engine_rows.ACTIVATIONS
}


def parameters(net, dtype=np.float64):
    """Copies of the net's weights and biases."""
    return [W.astype(dtype) for W in net.weights], [b.astype(dtype) for b in net.biases]


def forward(W, b, activations, X, shift=None):
    """Z and A of every layer; `shift`, such as (("Z", 0), array), is added there, to measure a derivative."""
    Z, A = [], []
    where, delta = shift or (None, 0)
    for layer in range(len(W)):
        Z.append(ref.linear(W[layer], A[-1] if A else X, b[layer]) + (delta if where == ("Z", layer) else 0))
        if layer < len(activations):
            A.append(ACTIVATIONS[activations[layer]][0](Z[-1]) + (delta if where == ("A", layer) else 0))
    return Z, A


def cost(W, b, activations, X, y, shift=None):
    """J, the mean of the losses (eq. 5.3)."""
    return ref.softmax_cross_entropy(forward(W, b, activations, X, shift)[0][-1], y).mean()


def step(W, b, v, activations, X, y, lr, momentum):
    """One batch of section 10, in place; returns the losses."""
    r = X.shape[1]
    Z, A = forward(W, b, activations, X)
    losses = ref.softmax_cross_entropy(Z[-1], y)
    dZ = ref.softmax_cross_entropy_backward(1 / r, ref.softmax(Z[-1]), y)
    inputs = [X, *A]
    for layer in reversed(range(len(W))):
        dW, dA, db = ref.linear_backward(dZ, W[layer], inputs[layer])
        if layer:
            dZ = ACTIVATIONS[activations[layer - 1]][1](dA, A[layer - 1])
        for parameter, velocity, gradient in ((W[layer], v[0][layer], dW), (b[layer], v[1][layer], db)):
            velocity *= momentum
            velocity += gradient
            parameter -= lr * velocity
    return losses


def fit(W, b, activations, X, y, epochs, batch_size, lr, momentum=0.0):
    """The training loop without a shuffle; changes W and b, returns the mean loss of each epoch."""
    v = [np.zeros_like(a) for a in W], [np.zeros_like(a) for a in b]
    history = []
    for _ in range(epochs):
        batches = [slice(start, start + batch_size) for start in range(0, X.shape[1], batch_size)]
        losses = [step(W, b, v, activations, X[:, batch], y[..., batch], lr, momentum) for batch in batches]
        history.append(np.concatenate(losses).mean())
    return history


# ---- shared by the tests of fit --------------------------------------------------------------------------------------

M, N = 7, 4  # inputs, classes


def examples(r, m=M, n=N, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, r)), rng.integers(0, n, r)


def train(net, X, y, **options):
    return net.fit(X, y, **{"epochs": 2, "batch_size": 16, "shuffle": False, "progress": False} | options)


def arrays(net):
    return [*net.weights, *net.biases]


def assert_equal(net, other):
    for a, b in zip(arrays(net), arrays(other), strict=True):
        assert a.tobytes() == b.tobytes()


def differ(net, other):
    return any(a.tobytes() != b.tobytes() for a, b in zip(arrays(net), arrays(other), strict=True))
