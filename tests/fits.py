"""The arguments of nnc._engine.Fit for a small net, each of which a test may change."""

import itertools

import numpy as np

from nnc import _engine as engine


def network(dtype="f4", sizes=(4, 5, 3), r=8, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "weights": [rng.standard_normal((n, m)).astype(dtype) for m, n in itertools.pairwise(sizes)],
        "biases": [np.zeros((n, 1), dtype) for n in sizes[1:]],
        "activations": ("relu",) * (len(sizes) - 2),
        "slope": 0.01,
        "mean": np.zeros((1, 1), dtype),
        "std": np.ones((1, 1), dtype),
        "X": rng.standard_normal((sizes[0], r)).astype(dtype),
    }


def fit(dtype="f4", r=8, sizes=(4, 5, 3), **changes):
    arguments = network(dtype, sizes, r) | {"y": np.arange(r) % sizes[-1], "batch_size": 4, "lr": 0.1, "momentum": 0.0}
    arguments |= {"shuffle": False, "seed": 1}
    return engine.Fit(**arguments | changes)
