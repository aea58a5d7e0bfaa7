"""An epoch of scikit-learn's estimators and of nnc.sklearn's: the same parameters, random_state and data.

Both times include what `fit` does once; PyTorch's loop in the first row (the same net, batch size
and Adam) has no such work.
"""

import importlib
import warnings

import numpy as np

from . import epoch, trainers

TITLE = "An epoch of MLPClassifier and MLPRegressor, an iteration of L-BFGS"
UNIT, DECIMALS = "ms", 2
DTYPES = {"float32": slice(-1, None)}  # dtype: slice of the thread counts
BUDGET, ROUNDS = 0.3, 2  # a case that takes longer runs once a round
MODULES = {"nnc": "nnc.sklearn", "sklearn": "sklearn.neural_network"}

ADAM = "60,000 images, 784-100-10, Adam, batch 200"  # their defaults
# name: (epochs of a run, class, parameters)
CASES = {
    ADAM: (1, "MLPClassifier", {}),
    "20,000 images, SGD, batch 64, 200 units": (
        1, "MLPClassifier", {"solver": "sgd", "batch_size": 64, "hidden_layer_sizes": 200},
    ),
    "6,000 images, L-BFGS": (10, "MLPClassifier", {"solver": "lbfgs"}),
    "table, 1,000 × 20": (50, "MLPClassifier", {}),
    "regression, 20,640 × 8": (5, "MLPRegressor", {}),
    "sparse, 11,000 × 100,000, 0.1 % filled": (1, "MLPClassifier", {}),
}  # fmt: skip


def value(case, seconds):
    return seconds / CASES[case][0] * 1e3


def data(case, dtype, folder, quick):
    rng = np.random.default_rng(0)
    if "images" in case:
        X, y, _, _ = epoch.load(folder, dtype)
        count = int(case.split()[0].replace(",", ""))
        return X[:count], y[:count]
    if "table" in case:
        X = rng.normal(size=(1000, 20)).astype(dtype)
        return X, (X[:, 0] * X[:, 1] > 0).astype(int)
    if "regression" in case:
        X = rng.normal(size=(20640, 8)).astype(dtype)
        return X, (X @ rng.normal(size=8) + np.sin(3 * X[:, 0])).astype(dtype)
    from scipy import sparse

    r, m, each = (400 if quick else 11000), 100000, 100
    columns, numbers = rng.integers(0, m, (r, each)).ravel(), rng.random(r * each, dtype)
    X = sparse.csr_matrix((numbers, columns, np.arange(0, r * each + 1, each)), shape=(r, m))
    X.sum_duplicates()
    return X, rng.integers(0, 20, r)


def _runs(peer):
    def runs(threads, dtype, folder, quick):
        warnings.simplefilter("ignore")  # nothing converges in so few epochs
        module = importlib.import_module(MODULES[peer])
        for case, (epochs, kind, parameters) in CASES.items():
            X, y = data(case, dtype, folder, quick)
            model = getattr(module, kind)(max_iter=epochs, n_iter_no_change=10**6, random_state=0, **parameters)
            yield case, lambda model=model, X=X, y=y: model.fit(X, y)

    return runs


def _torch(compiled):
    def runs(threads, dtype, folder, quick):
        batch = 200
        adam = {"optimizer": "Adam", "lr": 1e-3, "weight_decay": 1e-4 / batch, "fused": True}  # alpha / batch
        X, y = data(ADAM, dtype, folder, quick)
        yield ADAM, trainers.torch((784, 100, 10), batch, X, y, threads, compiled=compiled, **adam)[0]

    return runs


RUNS = {peer: _runs(peer) for peer in MODULES} | {"torch": _torch(False), "torch_compile": _torch(True)}
