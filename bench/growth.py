"""How the cost of training an example grows with the batch, the width and the depth."""

from . import trainers
from .epoch import load

TITLE = "Training one example, as the network grows"
UNIT, DECIMALS = "µs", 2
DTYPES = {"float32": slice(-1, None)}  # dtype: slice of the thread counts
BUDGET, ROUNDS = 0.1, 2

BATCHES = tuple(4**i for i in range(7))         # 1 .. 4096
WIDTHS = tuple(4**i for i in range(2, 7))       # 16 .. 4096
DEPTHS = tuple(2**i for i in range(4))       # 1 .. 8
CASES = {f"batch {batch}": ((784, 200, 10), batch) for batch in BATCHES}
CASES |= {f"width {width}": ((784, width, 10), 64) for width in WIDTHS}
CASES |= {f"depth {depth}": ((784, *[200] * depth, 10), 64) for depth in DEPTHS}


def count(case):
    """Examples in one run: just enough batches to time."""
    sizes, batch = CASES[case]
    return max(batch, 1024 if max(sizes[1:]) > 1024 or batch < 16 else 4096)


def value(case, seconds):
    return seconds / count(case) * 1e6


def _runs(trainer, deep=True):
    def runs(threads, dtype, folder, quick):
        X, y, _, _ = load(folder, dtype)
        for case, (sizes, batch) in CASES.items():
            small = batch in (16, 1024) or max(sizes[1:]) == 64 or len(sizes) == 5
            if (deep or len(sizes) == 3) and (small or not quick):
                n = count(case)
                yield case, trainer(sizes, batch, X[:n], y[:n], threads)[0]

    return runs


RUNS = {name: _runs(getattr(trainers, name)) for name in ("nnc", "numpy", "jax", "torch")}
RUNS["blas_loop"] = _runs(trainers.blas_loop, deep=False)
