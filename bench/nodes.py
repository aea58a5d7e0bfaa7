"""What the graph itself costs an operation: an expression and its backward pass, less the same calls by hand."""

import time

import numpy as np

import nnc

x, y, b = np.random.default_rng(0).standard_normal((3, 4, 4))
b = b[:, :1].copy()
g, labels, positive = np.ones((4, 4)), np.arange(4), x > 0
A, P, L = nnc.relu(x), nnc.softmax(x), nnc.softmax_cross_entropy(x, labels)
X, Y, B = nnc.Node(x), nnc.Node(y), nnc.Node(b)

OPERATIONS = {  # name: the expression, the same of arrays, and its gradients
    "x + y": (lambda: X + Y, lambda: x + y, lambda: (g.copy(), g.copy())),
    "x * y": (lambda: X * Y, lambda: x * y, lambda: (g * y, g * x)),
    "x / y": (lambda: X / Y, lambda: x / y, lambda: (g / y, -(g * P / y))),
    "x + b": (lambda: X + B, lambda: x + b, lambda: (g.copy(), np.add.reduce(g, 1, keepdims=True))),
    "exp": (lambda: np.exp(X), lambda: np.exp(x), lambda: g * P),
    "relu": (lambda: nnc.relu(X), lambda: nnc.relu(x), lambda: nnc.relu_backward(g, A)),
    "where": (lambda: np.where(positive, X, 0.0), lambda: np.where(positive, x, 0.0), lambda: np.where(positive, g, 0)),
    "x @ y": (lambda: X @ Y, lambda: nnc.matmul(x, y), lambda: (nnc.matmul(g, y.T), nnc.matmul(x.T, g))),
    "linear": (lambda: nnc.linear(X, Y, B), lambda: nnc.linear(x, y, b), lambda: nnc.linear_backward(g, x, y)),
    "softmax": (lambda: nnc.softmax(X), lambda: nnc.softmax(x), lambda: nnc.softmax_backward(g, P)),
    "cross-entropy": (lambda: nnc.softmax_cross_entropy(X, labels), lambda: nnc.softmax_cross_entropy(x, labels),
                      lambda: nnc.softmax_cross_entropy_backward(1.0, P, labels)),
    "sum": (lambda: X.sum(), lambda: np.add.reduce(x, None), lambda: np.full((4, 4), 1.0)),
    "mean": (lambda: X.mean(), lambda: np.add.reduce(x, None) / 16, lambda: np.full((4, 4), 1.0 / 16)),
    "reshape": (lambda: X.reshape(2, 8), lambda: x.reshape(2, 8), lambda: g.reshape(4, 4).copy()),
    "x.T": (lambda: X.T, lambda: x.T, lambda: g.T.copy()),
    "x[1:]": (lambda: X[1:], lambda: x[1:], lambda: np.zeros((4, 4)).__setitem__(slice(1, None), g[1:])),
    "concatenate": (lambda: np.concatenate([X, Y]), lambda: np.concatenate([x, y]), lambda: (g.copy(), g.copy())),
}  # fmt: skip


def best(run, seconds=0.1, times=100):
    """µs of one run, the best of many samples."""
    samples, end = [], time.perf_counter() + seconds
    while not samples or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(times):
            run()
        samples.append((time.perf_counter() - start) / times)
    return min(samples) * 1e6


def own_costs():
    """{operation: µs}, without what `backward` costs on a leaf, which an expression pays once and not an operation."""
    costs = {}
    for name, (expression, forward, backward) in OPERATIONS.items():
        shape = expression().shape
        seed = np.ones(shape) if shape else None
        leaf = nnc.Node(np.ones(shape))
        hand = best(forward) + best(backward) + best(lambda leaf=leaf, seed=seed: leaf.backward(seed))
        costs[name] = best(lambda f=expression, seed=seed: f().backward(seed)) - hand
    return costs
