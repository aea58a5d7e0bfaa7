"""Over ten seeds nnc.sklearn's nets are as good as scikit-learn's: the means differ by less than the seeds do."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn")

import sklearn.neural_network as sk  # noqa: E402
from sklearn.datasets import load_digits, make_classification, make_multilabel_classification  # noqa: E402
from sklearn.metrics import balanced_accuracy_score, f1_score  # noqa: E402

import nnc  # noqa: E402
import nnc.sklearn as ours  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]


def _digits():
    X, y = load_digits(return_X_y=True)
    return X.astype("f") / 16, y


def _fashion():
    try:
        (X, y), _ = nnc.data.fashion_mnist()
    except (OSError, ValueError):
        pytest.skip("needs Fashion-MNIST")
    return X[:6000].reshape(6000, -1).astype("f") / 255, y[:6000]


def _houses():
    """Like the houses of California: eight columns, a nonlinear price with noise."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 8)).astype("f")
    y = 2 * X[:, 0] + np.sin(2 * X[:, 1]) * X[:, 2] + np.exp(-(X[:, 3] ** 2)) + rng.normal(0, 0.5, 4000)
    return X, y.astype("f")


def _unbalanced():
    X, y = make_classification(3000, 20, n_informative=8, weights=[0.93], random_state=0)
    return X.astype("f"), y


def _multilabel():
    X, y = make_multilabel_classification(1500, random_state=0)
    return X.astype("f"), y


TASKS = {
    "digits": (_digits, "MLPClassifier", dict(max_iter=30), None),
    "fashion": (_fashion, "MLPClassifier", dict(max_iter=5), None),
    "houses": (_houses, "MLPRegressor", dict(max_iter=30), None),
    "unbalanced": (_unbalanced, "MLPClassifier", dict(max_iter=40), balanced_accuracy_score),
    "multilabel": (_multilabel, "MLPClassifier", dict(max_iter=40), lambda y, p: f1_score(y, p, average="micro")),
}


@pytest.mark.parametrize("name", TASKS)
def test_as_good_as_scikit_learn(name):
    data, kind, parameters, score = TASKS[name]
    X, y = data()
    half = len(X) // 2

    def scores(module, seeds):
        for seed in seeds:
            model = getattr(module, kind)(random_state=seed, **parameters).fit(X[:half], y[:half])
            yield score(y[half:], model.predict(X[half:])) if score else model.score(X[half:], y[half:])

    mine = np.array([*scores(ours, range(10))])
    other = np.array([*scores(sk, range(10, 20))])  # other seeds, since equal ones give equal nets
    # The difference of two means of ten, in its standard errors
    assert abs(mine.mean() - other.mean()) < 4 * np.hypot(mine.std(ddof=1), other.std(ddof=1)) / np.sqrt(10)
