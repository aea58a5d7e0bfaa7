"""The main job: one epoch of 784-200-10 in batches of 64 over 60,000 shuffled images, normalised or uint8."""

from pathlib import Path

import numpy as np

from . import trainers

TITLE = "One epoch of 784-200-10, batch 64"
UNIT, DECIMALS = "s", 3
DTYPES = {"float32": slice(None), "float64": slice(None)}  # dtype: slice of the thread counts
BUDGET, ROUNDS = 0, 3  # one epoch a round
SIZES, BATCH = (784, 200, 10), 64


def load(folder, dtype, raw=False):
    """X (r, 784), y (r,), and the mean and standard deviation over all pixels (eq. 17.3), applied unless raw."""
    X, y = np.load(Path(folder, "X.npy")), np.load(Path(folder, "y.npy"))
    mean, std = X.mean(), X.std()
    return (X if raw else ((X - mean) / std).astype(dtype)), y, mean, std


def flop(case, sizes=SIZES):
    """2 n m a layer and example forward, the same for dW, and for dX in all layers but the first."""
    products = [2 * n * m for n, m in zip(sizes[1:], sizes, strict=False)]
    return int(case.split()[0].replace(",", "")) * (3 * sum(products) - products[0])


def value(case, seconds):
    return seconds


def learned(parameters, X, y):
    """The accuracy on X (r, m) of a ReLU network with these parameters."""
    A = X.T
    *hidden, (W, b) = zip(*parameters, strict=True)
    for V, c in hidden:
        A = np.maximum(V @ A + c, 0)
    return float(((W @ A + b).argmax(axis=0) == y).mean())


def _run(trainer, threads, dtype, folder, raw=False, **options):
    X, y, mean, std = load(folder, dtype, raw)
    if raw:
        options |= {"mean": mean, "std": std, "dtype": dtype}
    epoch, parameters = trainer(SIZES, BATCH, X, y, threads, **options)
    epoch()
    # A peer must do all of the work.
    share = learned(parameters(), ((X[:10000] - mean) / std if raw else X[:10000]), y[:10000])
    assert share > 0.6, f"after an epoch only {share:.0%} of the images are right"
    yield f"{len(X):,} images", epoch


def _runs(trainer, **options):
    return lambda threads, dtype, folder, quick: _run(trainer, threads, dtype, folder, **options)


RUNS = {
    "nnc": _runs(trainers.nnc),
    "nnc_uint8": _runs(trainers.nnc, raw=True),
    "blas_loop": _runs(trainers.blas_loop),
    "jax": _runs(trainers.jax),
    "numpy": _runs(trainers.numpy),
    "sklearn": _runs(trainers.sklearn),
    "torch": _runs(trainers.torch),
}
