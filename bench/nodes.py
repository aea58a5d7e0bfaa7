"""What the graph itself costs an operation: an expression and its backward pass, minus the same calls by hand."""

import time

import numpy as np

import nnc

x, y, b = np.random.default_rng(0).standard_normal((3, 4, 4))
b = b[:, :1].copy()
g, labels, positive = np.ones((4, 4)), np.arange(4), x > 0
A, P, L = nnc.relu(x), nnc.softmax(x), nnc.softmax_cross_entropy(x, labels)
ROWS, INDEX, TWICE = np.array([0, 2]), np.argmax(x, 1, keepdims=True), np.ones((2, 4, 4))
X, Y, B, POSITIVE = nnc.Node(x), nnc.Node(y), nnc.Node(b), nnc.Node(P)

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
    "-x": (lambda: -X, lambda: -x, lambda: -g),
    "x ** 2": (lambda: X**2, lambda: x**2, lambda: g * (2 * x)),
    "log": (lambda: np.log(POSITIVE), lambda: np.log(P), lambda: g / P),
    "sqrt": (lambda: np.sqrt(POSITIVE), lambda: np.sqrt(P), lambda: g / (2 * P)),
    "tanh": (lambda: np.tanh(X), lambda: nnc.tanh(x), lambda: nnc.tanh_backward(g, A)),
    "maximum": (lambda: np.maximum(X, Y), lambda: np.maximum(x, y),
                lambda: (np.where(x > y, g, 0.0), np.where(y > x, g, 0.0))),
    "clip": (lambda: np.clip(X, -1, 1), lambda: np.clip(x, -1, 1), lambda: np.where((x >= -1) & (x <= 1), g, 0.0)),
    "max": (lambda: X.max(), lambda: np.maximum.reduce(x, None), lambda: np.where(x == A, 1.0, 0.0)),
    "prod": (lambda: X.prod(), lambda: np.multiply.reduce(x, None), lambda: 2.0 / x),
    "sum, axis 0": (lambda: X.sum(axis=0), lambda: np.add.reduce(x, 0), lambda: np.broadcast_to(g[0], (4, 4)).copy()),
    "cumsum": (lambda: np.cumsum(X, 0), lambda: np.cumsum(x, 0),
               lambda: np.flip(np.cumsum(np.flip(g, 0), 0), 0).copy()),
    "log softmax": (lambda: nnc.log_softmax(X), lambda: nnc.log_softmax(x),
                    lambda: g - np.exp(x) * np.add.reduce(g, 0, keepdims=True)),
    "einsum": (lambda: np.einsum("ij,jk->ik", X, Y), lambda: np.einsum("ij,jk->ik", x, y),
               lambda: (np.einsum("ik,jk->ij", g, y), np.einsum("ij,ik->jk", x, g))),
    "stack": (lambda: np.stack([X, Y]), lambda: np.stack([x, y]), lambda: (g.copy(), g.copy())),
    "x[[0, 2]]": (lambda: X[ROWS], lambda: x[ROWS], lambda: np.add.at(np.zeros((4, 4)), ROWS, g[:2])),
    "take": (lambda: np.take(X, ROWS, 0), lambda: np.take(x, ROWS, 0),
             lambda: np.add.at(np.zeros((4, 4)), ROWS, g[:2])),
    "take_along_axis": (lambda: np.take_along_axis(X, INDEX, 1), lambda: np.take_along_axis(x, INDEX, 1),
                        lambda: np.put_along_axis(np.zeros((4, 4)), INDEX, g[:, :1], 1)),
    "diagonal": (lambda: np.diagonal(X), lambda: np.diagonal(x), lambda: np.diag(g[0])),
    "flip": (lambda: np.flip(X, 0), lambda: np.flip(x, 0), lambda: np.flip(g, 0).copy()),
    "roll": (lambda: np.roll(X, 1, 0), lambda: np.roll(x, 1, 0), lambda: np.roll(g, -1, 0)),
    "rot90": (lambda: np.rot90(X), lambda: np.rot90(x), lambda: np.rot90(g, -1).copy()),
    "tile": (lambda: np.tile(X, (2, 1)), lambda: np.tile(x, (2, 1)), lambda: TWICE.reshape(2, 4, 4).sum(0)),
    "repeat": (lambda: np.repeat(X, 2, 0), lambda: np.repeat(x, 2, 0), lambda: TWICE.reshape(4, 2, 4).sum(1)),
    "swapaxes": (lambda: np.swapaxes(X, 0, 1), lambda: np.swapaxes(x, 0, 1), lambda: g.T.copy()),
    "moveaxis": (lambda: np.moveaxis(X, 0, 1), lambda: np.moveaxis(x, 0, 1), lambda: np.moveaxis(g, 1, 0).copy()),
    "expand_dims": (lambda: np.expand_dims(X, 0), lambda: np.expand_dims(x, 0), lambda: g.reshape(4, 4).copy()),
    "broadcast_to": (lambda: np.broadcast_to(X, (2, 4, 4)), lambda: np.broadcast_to(x, (2, 4, 4)),
                     lambda: TWICE.sum(0)),
}  # fmt: skip


def best(run, seconds=0.05, times=100):
    """µs of one run, the best of many samples."""
    samples, end = [], time.perf_counter() + seconds
    while not samples or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(times):
            run()
        samples.append((time.perf_counter() - start) / times)
    return min(samples) * 1e6


def own_costs():
    """{operation: µs}, without the cost of `backward` on a leaf, which arises once for an expression, not for each
    operation."""
    costs = {}
    for name, (expression, forward, backward) in OPERATIONS.items():
        shape = expression().shape
        seed = np.ones(shape) if shape else None
        leaf = nnc.Node(np.ones(shape))
        hand = best(lambda f=forward, b=backward: (f(), b())) + best(lambda leaf=leaf, seed=seed: leaf.backward(seed))
        costs[name] = best(lambda f=expression, seed=seed: f().backward(seed)) - hand
    return costs
