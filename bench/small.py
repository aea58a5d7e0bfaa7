"""A small net, dominated by the cost of a call: 2-16-16-2 on two half moons, batch 32, by each library's own loop."""

import numpy as np

from . import trainers

TITLE = "A training step of a small net, 2-16-16-2, batch 32"
UNIT, DECIMALS = "µs", 2
DTYPES = {"float32": slice(None)}  # dtype: slice of the thread counts
BUDGET, ROUNDS = 0.2, 3
SIZES, BATCH, COUNT = (2, 16, 16, 2), 32, 1024
EPOCHS = 50  # of one run


def value(case, seconds):
    return seconds / (EPOCHS * COUNT // BATCH) * 1e6


def moons(dtype):
    rng = np.random.default_rng(0)
    t, y = rng.uniform(0, np.pi, COUNT), rng.integers(0, 2, COUNT)
    X = np.stack([np.cos(t) * (1 - 2 * y) + y, np.sin(t) * (1 - 2 * y) + y / 2], axis=1)
    return (X + rng.normal(0, 0.1, X.shape)).astype(dtype), y


def _runs(trainer, **options):
    """A trainer that takes `epochs` trains them all in one call, as its users do."""
    calls = range(1 if options else EPOCHS)

    def runs(threads, dtype, folder, quick):
        epoch, _ = trainer(SIZES, BATCH, *moons(dtype), threads, **options)
        yield "step", lambda: [epoch() for _ in calls]

    return runs


RUNS = {name: _runs(getattr(trainers, name)) for name in ("numpy", "jax", "sklearn", "torch")}
RUNS = {"nnc": _runs(trainers.nnc, epochs=EPOCHS)} | RUNS
