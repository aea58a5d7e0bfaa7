"""Stochastic gradient descent on a ReLU network, as each library's users write it.

A trainer takes (sizes, batch, X, y, threads): X (r, m) images as rows, y (r,) labels. It returns `epoch`, which trains
one epoch over the examples in a new random order, and `parameters`, which returns the current weights and biases.
All start from the same weights, use the same learning rate, and divide each batch's gradient by its size (eq. 5.3).
"""

import ctypes
import warnings

import numpy as np

from .native import library, pointer

LR = 0.1


def initial(sizes, dtype):
    """Kaiming's weights (eq. 17.6) and zero biases."""
    rng = np.random.default_rng(0)
    pairs = list(zip(sizes[1:], sizes[:-1], strict=True))
    return [(rng.standard_normal((n, m)) / np.sqrt(m / 2)).astype(dtype) for n, m in pairs], \
           [np.zeros((n, 1), dtype) for n, m in pairs]


def numpy(sizes, batch, X, y, threads):
    W, b = initial(sizes, X.dtype)
    rng, last = np.random.default_rng(1), len(sizes) - 2

    def epoch():
        order = rng.permutation(len(X))
        for at in range(0, len(X), batch):
            index = order[at : at + batch]
            A, r = [X[index].T], len(index)
            for layer in range(last + 1):
                Z = W[layer] @ A[layer] + b[layer]
                A.append(np.maximum(Z, 0) if layer < last else Z)
            P = np.exp(Z - Z.max(axis=0))
            P /= P.sum(axis=0)
            P[y[index], np.arange(r)] -= 1
            dZ = P / r
            for layer in range(last, -1, -1):
                dA = W[layer].T @ dZ if layer else None
                W[layer] -= LR * (dZ @ A[layer].T)
                b[layer] -= LR * dZ.sum(axis=1, keepdims=True)
                if layer:
                    dZ = dA * (A[layer] > 0)

    return epoch, lambda: (W, b)


def nnc(sizes, batch, X, y, threads, epochs=1, dtype=None, **normalisation):
    import nnc

    nnc.set_num_threads(threads)
    dtype = X.dtype if dtype is None else dtype  # of the net: uint8 images go into either
    net = nnc.MLP(sizes, dtype=dtype, seed=0, **normalisation)
    for arrays, values in zip((net.weights, net.biases), initial(sizes, dtype), strict=True):
        for array, value in zip(arrays, values, strict=True):
            array[...] = value

    def epoch():
        net.fit(X.T, y, epochs=epochs, batch_size=batch, lr=LR, progress=False)

    return epoch, lambda: (net.weights, net.biases)


def torch(sizes, batch, X, y, threads, compiled=False, optimizer="SGD", **options):
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(threads)
    data, labels = torch.from_numpy(X), torch.from_numpy(y)
    layers = []
    for W, b in zip(*initial(sizes, X.dtype), strict=True):
        linear = torch.nn.Linear(W.shape[1], W.shape[0], dtype=data.dtype)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W))
            linear.bias.copy_(torch.from_numpy(b[:, 0]))
        layers += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    optimizer = getattr(torch.optim, optimizer)(model.parameters(), **(options or {"lr": LR, "foreach": True}))

    def cost(x, t):
        return F.cross_entropy(model(x), t)

    if compiled:
        cost = torch.compile(cost)

    def epoch():
        order = torch.randperm(len(data))
        for at in range(0, len(data), batch):
            index = order[at : at + batch]
            J = cost(data[index], labels[index])
            optimizer.zero_grad()
            J.backward()
            optimizer.step()

    def parameters():
        linear = [layer for layer in model if hasattr(layer, "weight")]
        return [p.weight.detach().numpy() for p in linear], [p.bias.detach().numpy()[:, None] for p in linear]

    return epoch, parameters


def jax(sizes, batch, X, y, threads):
    """The whole epoch is one compiled scan; the last, smaller batch is left out."""
    import jax
    from jax import numpy as jnp

    jax.config.update("jax_enable_x64", True)
    data, labels = jnp.asarray(X), jnp.asarray(y)
    count = len(X) // batch

    def cost(parameters, x, t):
        *hidden, last = parameters
        for W, b in hidden:
            x = jax.nn.relu(x @ W.T + b)
        Z = x @ last[0].T + last[1]
        return jnp.mean(jax.nn.logsumexp(Z, axis=1) - jnp.take_along_axis(Z, t[:, None], 1)[:, 0])

    def step(parameters, index):
        gradient = jax.grad(cost)(parameters, data[index], labels[index])
        return jax.tree.map(lambda p, g: p - LR * g, parameters, gradient), None

    @jax.jit
    def train(parameters, key):
        order = jax.random.permutation(key, len(X))[: count * batch].reshape(count, batch)
        return jax.lax.scan(step, parameters, order)[0]

    state = [[(jnp.asarray(W), jnp.asarray(b[:, 0])) for W, b in zip(*initial(sizes, X.dtype), strict=True)],
             jax.random.key(1)]

    def epoch():
        state[1], key = jax.random.split(state[1])
        state[0] = jax.block_until_ready(train(state[0], key))

    return epoch, lambda: ([np.asarray(W) for W, b in state[0]], [np.asarray(b)[:, None] for W, b in state[0]])


def sklearn(sizes, batch, X, y, threads):
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore")  # it warns that one epoch is not enough to converge
    model = MLPClassifier(sizes[1:-1], solver="sgd", batch_size=batch, learning_rate_init=LR, momentum=0, alpha=0,
                          max_iter=1, warm_start=True, random_state=0)
    return lambda: model.fit(X, y), lambda: ([W.T for W in model.coefs_], [b[:, None] for b in model.intercepts_])


def blas_loop(sizes, batch, X, y, threads):
    """blas_loop.c around the OpenBLAS of the scipy-openblas32 wheel: one hidden layer."""
    import scipy_openblas32

    m, h, k = sizes
    folder = scipy_openblas32.get_lib_dir()
    real, letter, ctype = ("float", "s", ctypes.c_float) if X.dtype == np.float32 else ("double", "d", ctypes.c_double)
    train = library("blas_loop.c", "-ffast-math", f"-DREAL={real}", f"-DEXP={'expf' if letter == 's' else 'exp'}",
                    f"-DGEMM=scipy_cblas_{letter}gemm", f"-L{folder}", "-lscipy_openblas", f"-Wl,-rpath,{folder}").epoch
    train.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_int] * 5 + [ctype] + [ctypes.c_void_p] * 5
    W, b = initial(sizes, X.dtype)
    labels, state = y.astype(np.int64), np.array([88172645463325252], np.uint64)

    def epoch():
        failed = train(pointer(X), pointer(labels), len(X), m, h, k, batch, LR,
                       *map(pointer, (W[0], b[0], W[1], b[1], state)))
        assert not failed

    return epoch, lambda: (W, b)
