"""nnc.sklearn compared with scikit-learn's estimators: the same results; what it has beyond them."""

import doctest
import io
import pickle
import re
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn")

import joblib  # noqa: E402
import sklearn.neural_network as sk  # noqa: E402
from scipy import sparse  # noqa: E402
from sklearn import config_context  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.datasets import load_digits, make_multilabel_classification, make_regression  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator  # noqa: E402

import nnc  # noqa: E402
import nnc.sklearn as ours  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def _digits():
    X, y = load_digits(return_X_y=True)
    return X[:600] / 16, y[:600]


def _regression(outputs=1):
    X, y = make_regression(200, 10, n_targets=outputs, random_state=0)
    return X, y / y.std()


def _arrays(model):
    return [*model.coefs_, *model.intercepts_]


def _difference(model, other):
    """The largest difference between corresponding weights and biases."""
    return max(np.abs(W - V).max() for W, V in zip(_arrays(model), _arrays(other), strict=True))


CLASSIFIERS = {
    "adam": {},
    "sgd": dict(solver="sgd"),
    "sgd without momentum": dict(solver="sgd", momentum=0, nesterovs_momentum=False, learning_rate_init=0.1),
    "sgd momentum": dict(solver="sgd", nesterovs_momentum=False, batch_size=64, learning_rate_init=0.05),
    "sgd invscaling": dict(solver="sgd", learning_rate="invscaling", learning_rate_init=0.5, activation="logistic"),
    "sgd adaptive": dict(solver="sgd", learning_rate="adaptive", tol=0.05, n_iter_no_change=1, learning_rate_init=0.3),
    "adam, other settings": dict(beta_1=0.5, beta_2=0.9, epsilon=1e-3, learning_rate_init=0.01, batch_size=50),
    "weight decay": dict(alpha=3.0, batch_size=130),  # the last batch is smaller, and has a stronger decay
    "two hidden layers": dict(hidden_layer_sizes=(30, 20), activation="tanh"),
    "no hidden layer": dict(hidden_layer_sizes=()),
    "identity": dict(hidden_layer_sizes=7, activation="identity"),
    "in order": dict(shuffle=False, batch_size=7),
    "early stopping": dict(early_stopping=True, n_iter_no_change=2, tol=1e-2, max_iter=50),
    "lbfgs": dict(solver="lbfgs"),
    "lbfgs weight decay": dict(solver="lbfgs", alpha=10.0, activation="tanh"),
}


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("labels", ["ten", "two", "text", "multilabel"])
def test_a_classifier_has_the_weights_of_scikit_learns(labels, name, weighted):
    X, y = _digits()
    if labels == "two":
        y = y > 4
    elif labels == "text":
        y = np.array([f"digit {k}" for k in range(10)])[y]
    elif labels == "multilabel":
        X, y = make_multilabel_classification(600, random_state=0)
        X = X / 20  # else scikit-learn clips probabilities near 0 and 1, and with them the loss
    _compare("MLPClassifier", X, y, weighted, **CLASSIFIERS[name])


REGRESSORS = {
    "adam": {},
    "sgd": dict(solver="sgd"),
    "weight decay": dict(alpha=3.0, batch_size=130),
    "early stopping": dict(early_stopping=True, n_iter_no_change=2, tol=1e-2, max_iter=50, learning_rate_init=0.01),
    "lbfgs": dict(solver="lbfgs"),
}


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("name", REGRESSORS)
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_a_regressor_has_the_weights_of_scikit_learns(outputs, loss, name, weighted):
    X, y = _regression(outputs)
    _compare("MLPRegressor", X, np.abs(y), weighted, loss=loss, **REGRESSORS[name])


def _compare(name, X, y, weighted, **parameters):
    weight = np.random.RandomState(1).uniform(0.1, 3, len(X)) if weighted else None
    parameters = dict(max_iter=8, random_state=3) | parameters
    mine = getattr(ours, name)(**parameters).fit(X, y, weight)
    other = getattr(sk, name)(**parameters).fit(X, y, weight)
    assert mine.n_iter_ == other.n_iter_
    assert mine.out_activation_ == other.out_activation_ and mine.n_outputs_ == other.n_outputs_
    # A few hundred steps, each with rounding errors of sums of a few hundred float64 products
    assert _difference(mine, other) < 1e-9
    np.testing.assert_allclose(mine.loss_, other.loss_, rtol=1e-9)
    if mine.solver == "lbfgs":
        return
    assert mine.t_ == other.t_
    np.testing.assert_allclose(mine.loss_curve_, other.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(mine._optimizer.learning_rate, other._optimizer.learning_rate)
    if mine.early_stopping:
        np.testing.assert_allclose(mine.validation_scores_, other.validation_scores_, atol=1e-9)
        assert mine.best_loss_ is None
    else:
        np.testing.assert_allclose(mine.best_loss_, other.best_loss_, rtol=1e-9)
    if name == "MLPClassifier":
        np.testing.assert_allclose(mine.predict_proba(X), other.predict_proba(X), atol=1e-9)
        np.testing.assert_array_equal(mine.predict(X), other.predict(X))
    else:
        np.testing.assert_allclose(mine.predict(X), other.predict(X), atol=1e-8)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_and_warm_start_continue_as_in_scikit_learn(solver):
    X, y = _digits()
    parameters = dict(solver=solver, random_state=0, max_iter=3, learning_rate_init=0.01, learning_rate="invscaling")
    models = [module.MLPClassifier(**parameters) for module in (ours, sk)]
    for model in models:
        for start in range(0, 600, 250):
            chunk = slice(start, start + 250)
            model.partial_fit(X[chunk], y[chunk], classes=np.arange(12))
    assert _difference(*models) < 1e-10 and models[0].t_ == models[1].t_ == 600
    models = [module.MLPClassifier(warm_start=True, **parameters).fit(X, y).fit(X, y) for module in (ours, sk)]
    assert _difference(*models) < 1e-10 and len(models[0].loss_curve_) == 6


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_check_estimator(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(getattr(ours, name)(), on_skip=None)
    skipped = {result["check_name"] for result in results if result["status"] == "skipped"}
    assert len(results) > 50
    # Both are skipped for scikit-learn's own estimators, too.
    assert skipped <= {"check_array_api_input", "check_classifiers_multilabel_output_format_decision_function"}


# ---- kinds of data ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_float32_stays_float32_and_follows_float64(solver):
    X, y = _digits()
    wide, narrow = (ours.MLPClassifier(solver=solver, random_state=0, max_iter=5).fit(X.astype(t), y) for t in "df")
    assert (
        {array.dtype for array in _arrays(narrow)} == {np.dtype("f")} == {narrow.predict_proba(X[:5].astype("f")).dtype}
    )
    assert {array.dtype for array in _arrays(wide)} == {np.dtype("d")}
    assert _difference(wide, narrow) < 1e-3  # 15 steps of 1e-3 whose gradients have 7 digits


@pytest.mark.parametrize("layout", ["csr_matrix", "csr_array", "csc_array", "coo_array"])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("dtype", ["f", "d"])
def test_sparse_examples_train_the_same_net_as_dense_ones(layout, solver, dtype):
    X, y = _digits()
    X = np.hstack([np.zeros((600, 30)), np.where(X > 0.7, X, 0)]).astype(dtype)  # some inputs never occur
    parameters = dict(
        solver=solver, random_state=0, max_iter=5, alpha=0.1, batch_size=70 if solver != "lbfgs" else "auto"
    )
    S = getattr(sparse, layout)(X)
    dense, sparsely = (ours.MLPClassifier(**parameters).fit(A, y) for A in (X, S))
    tolerance = 1e-3 if dtype == "f" else 1e-9
    assert _difference(dense, sparsely) < tolerance
    assert sparsely.coefs_[0].dtype == dtype
    np.testing.assert_allclose(sparsely.predict_proba(S), dense.predict_proba(X), atol=10 * tolerance)
    if solver != "lbfgs":  # both continue, with dense examples
        for model, A in ((dense, X), (sparsely, X)):
            model.partial_fit(A[:100], y[:100])
        assert _difference(dense, sparsely) < tolerance


def test_images_of_bytes():
    X, y = _digits()
    X = np.round(X * 255).astype(np.uint8)
    mine, other = (module.MLPClassifier(max_iter=3, random_state=0).fit(X, y) for module in (ours, sk))
    assert _difference(mine, other) < 1e-9
    np.testing.assert_array_equal(mine.predict(X), other.predict(X))


def test_the_column_names_of_data_frames_are_checked():
    frames = pytest.importorskip("pandas", reason="needs pandas"), pytest.importorskip("polars", reason="needs polars")
    X, y = _regression()
    names = [f"column {i}" for i in range(10)]
    plain = ours.MLPRegressor(max_iter=3, random_state=0).fit(X, y)
    for library in frames:
        frame = library.DataFrame({name: X[:, i] for i, name in enumerate(names)})
        model = ours.MLPRegressor(max_iter=3, random_state=0).fit(frame, library.Series(y))
        assert list(model.feature_names_in_) == names
        assert _difference(model, plain) < 1e-12
        with pytest.raises(ValueError, match="feature names"):
            model.predict(frame[names[::-1]])


# ---- beyond scikit-learn ---------------------------------------------------------------------------------------------


def test_class_weights_are_sample_weights_by_class():
    X, y = _digits()
    y = np.where(y == 0, "zero", "other")
    parameters = dict(max_iter=5, random_state=0)
    weight = np.where(y == "zero", 5.0, 1.0)
    by_class = ours.MLPClassifier(class_weight={"zero": 5.0}, **parameters).fit(X, y)
    by_example = ours.MLPClassifier(**parameters).fit(X, y, weight)
    assert _difference(by_class, by_example) == 0
    both = ours.MLPClassifier(class_weight={"zero": 5.0}, **parameters).fit(X, y, weight)
    squared = ours.MLPClassifier(**parameters).fit(X, y, weight**2)
    assert _difference(both, squared) == 0
    share = (y == "zero").mean()
    balanced = ours.MLPClassifier(class_weight="balanced", **parameters).fit(X, y)
    weight = 0.5 / np.where(y == "zero", share, 1 - share)
    assert _difference(balanced, ours.MLPClassifier(**parameters).fit(X, y, weight)) < 1e-12
    with pytest.raises(ValueError, match="balanced"):
        ours.MLPClassifier(class_weight="balanced").partial_fit(X, y, classes=np.unique(y))


@pytest.mark.parametrize("given", ["parameter", "argument"])
def test_validation_data_is_scored_and_decides_when_to_stop(given):
    X, y = _digits()
    validation = X[400:], y[400:]
    for early_stopping in (False, True):
        model = ours.MLPClassifier(max_iter=9, random_state=0, early_stopping=early_stopping, tol=0)
        scores = []
        model.set_params(callback=lambda epoch, model, scores=scores: scores.append(model.score(*validation)))
        if given == "parameter":
            model.set_params(validation_data=validation).fit(X[:400], y[:400])
        else:
            model.fit(X[:400], y[:400], validation_data=validation)
        assert model.validation_scores_ == scores and len(scores) == model.n_iter_
        assert model.t_ == 400 * model.n_iter_  # no example was held out
        if early_stopping:
            assert model.best_validation_score_ == max(scores) == model.score(*validation)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_a_callback_sees_every_epoch_and_stops(solver):
    X, y = _digits()
    seen = []

    def callback(epoch, model):
        seen.append((epoch, model.loss_, model.score(X, y)))
        return epoch == 3

    model = ours.MLPClassifier(solver=solver, random_state=0, callback=callback).fit(X, y)
    assert [epoch for epoch, _, _ in seen] == [0, 1, 2, 3] and model.n_iter_ == 4
    assert len({loss for _, loss, _ in seen}) == 4 and seen[-1][2] == model.score(X, y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_stop_by_the_callback_does_not_warn(solver):
    X, y = _digits()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours.MLPClassifier(solver=solver, random_state=0, callback=lambda epoch, model: epoch == 3).fit(X, y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_progress_bar(capsys, solver):
    X, y = _digits()
    model = ours.MLPClassifier(solver=solver, max_iter=3, progress_bar=True).fit(X, y)
    bar = capsys.readouterr().err
    assert "3/3" in bar and "score" not in bar
    model.fit(X, y, validation_data=(X, y))
    assert "score" in capsys.readouterr().err


def test_leaky_relu():
    X, y = _digits()
    relu, leaky = (
        ours.MLPClassifier(activation=f, max_iter=5, random_state=0).fit(X, y) for f in ("relu", "leaky_relu")
    )
    assert 1e-6 < _difference(relu, leaky) < 0.1
    W, b = leaky.coefs_, leaky.intercepts_
    Z = X @ W[0] + b[0]
    scores = np.where(Z > 0, Z, 0.01 * Z) @ W[1] + b[1]
    np.testing.assert_array_equal(leaky.predict(X), scores.argmax(axis=1))


# ---- pickles and conversions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_pickled_estimator_continues_training_as_the_original(solver):
    X, y = _digits()
    model = ours.MLPClassifier(solver=solver, random_state=np.random.RandomState(0)).partial_fit(
        X, y, classes=range(10)
    )
    file = io.BytesIO()
    joblib.dump(model, file)
    copies = pickle.loads(pickle.dumps(model)), joblib.load(io.BytesIO(file.getvalue()))
    model.partial_fit(X, y)
    for copy in copies:
        assert _difference(copy.partial_fit(X, y), model) == 0
    assert not hasattr(clone(model), "coefs_")


CONVERTED = {
    "classes": ("MLPClassifier", lambda: _digits(), {}),
    "two classes": ("MLPClassifier", lambda: (_digits()[0], _digits()[1] > 4), dict(activation="tanh")),
    "multilabel": ("MLPClassifier", lambda: (_digits()[0], _digits()[1][:, None] > [2, 5, 7]), {}),
    "regression": ("MLPRegressor", lambda: _regression(3), dict(activation="logistic")),
    "counts": ("MLPRegressor", lambda: (_regression()[0], np.abs(_regression()[1])), dict(loss="poisson")),
}


@pytest.mark.parametrize("name", CONVERTED)
def test_conversions_from_and_to_scikit_learn(name):
    cls, data, parameters = CONVERTED[name]
    X, y = data()
    Ours, Theirs = getattr(ours, cls), getattr(sk, cls)
    for solver in ("adam", "sgd"):
        other = Theirs(solver=solver, random_state=0, max_iter=3, **parameters).fit(X, y)
        mine = Ours.from_sklearn(other)
        assert type(mine) is Ours and mine.loss_curve_ == other.loss_curve_
        np.testing.assert_allclose(mine.predict(X), other.predict(X), atol=1e-12)
        through = Ours.from_mlp(mine.to_mlp())
        if cls == "MLPClassifier":
            P = mine.predict_proba(X)
            np.testing.assert_allclose(P, other.predict_proba(X), atol=1e-12)
            np.testing.assert_allclose(through.predict_proba(X), P, atol=1e-12)
            one = P[:, 1:] if name == "two classes" else P  # a net has one output for two classes
            np.testing.assert_allclose(mine.to_mlp().predict_proba(X.T).T, one, atol=1e-12)
        else:
            np.testing.assert_allclose(through.predict(X), other.predict(X), atol=1e-12)
        back = mine.to_sklearn()
        assert type(back) is Theirs and _difference(back, other) == 0
        for model in (mine, other, back):  # all continue with the optimizer's state
            model.partial_fit(X, y)
        assert _difference(mine, other) < 1e-12 and _difference(back, other) == 0
    with pytest.raises(TypeError, match="from_sklearn takes a"):
        Ours.from_sklearn(np.zeros(3))
    assert Ours.from_sklearn(Theirs(alpha=7)).alpha == 7


@pytest.mark.parametrize("loss, outputs", [("cross_entropy", 3), ("cross_entropy", 2), ("binary_cross_entropy", 1)])
@pytest.mark.parametrize("names", [["north", "east", "west"], ["east", "north", "west"], [7, -1, 3]])
def test_the_outputs_of_a_net_keep_their_class_names(loss, outputs, names):
    """Also if the names are not sorted, while an estimator's classes are."""
    X, y = _digits()
    names = np.array(names[: max(outputs, 2)])
    net = nnc.MLP([64, 5, outputs], "tanh", loss=loss, dtype=np.float64, seed=0)
    model = ours.MLPClassifier.from_mlp(net, names)
    P = net.predict_proba(X.T)
    P = np.vstack([1 - P, P]) if outputs == 1 else P
    assert len({*P.argmax(axis=0)}) == len(names)
    np.testing.assert_array_equal(model.predict(X), names[P.argmax(axis=0)])
    np.testing.assert_allclose(model.predict_proba(X), P.T[:, np.argsort(names)], rtol=1e-12)
    assert model.partial_fit(X, names[y % len(names)]).score(X, names[y % len(names)]) > 0
    with pytest.raises(ValueError, match="different classes"):
        ours.MLPClassifier.from_mlp(net, [*names[1:], names[1]])
    with pytest.raises(TypeError, match="takes an nnc.MLP"):
        ours.MLPClassifier.from_mlp(model)


# ---- memory ----------------------------------------------------------------------------------------------------------

MEMORY = """
import sys, numpy as np
import nnc.sklearn
rows, how = int(sys.argv[1]), sys.argv[2]
X = np.lib.format.open_memmap(sys.argv[3], "w+", np.float32, (rows, 256))
for at in range(0, rows, 1000):
    X[at : at + 1000] = np.random.default_rng(at).standard_normal((1000, 256), np.float32)
X.flush()
del X
X, y = np.load(sys.argv[3], mmap_mode="r"), np.arange(rows) % 3

def anonymous():  # kB of this process's memory, without pages of files
    return int(next(line for line in open("/proc/self/status") if line.startswith("RssAnon")).split()[1])

def train():
    if how == "MLP":
        nnc.MLP([256, 8, 3]).fit(X.T, y, epochs=1, progress=False, callback=report)
    elif how == "fit":
        nnc.sklearn.MLPClassifier(8, max_iter=1, callback=report).fit(X, y)
    else:
        model = nnc.sklearn.MLPClassifier(8)
        for at in range(0, rows, 1000):
            model.partial_fit(X[at : at + 1000], y[at : at + 1000], classes=[0, 1, 2])
        report()

def report(*_):
    print((anonymous() - before) / 1024)

before = anonymous()
train()
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", ["MLP", "fit", "partial_fit"])
def test_memory_does_not_grow_with_a_file(how, tmp_path):
    """With 40 MB more of examples, only the labels and the order grow: some 20 bytes per example, less than a MB."""
    grown = []
    for rows in (10_000, 50_000):
        command = [sys.executable, "-W", "ignore", "-c", MEMORY, str(rows), how, str(tmp_path / "X.npy")]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stderr
        grown.append(float(run.stdout.split()[0]))
    assert grown[1] - grown[0] < 10, grown


# ---- bad input -------------------------------------------------------------------------------------------------------

BAD = [
    (dict(hidden_layer_sizes=-1), "hidden_layer_sizes"),
    (dict(hidden_layer_sizes=(3, 0)), "hidden_layer_sizes must be > 0"),
    (dict(activation="ghost"), "activation"),
    (dict(solver="hadoken"), "solver"),
    (dict(alpha=-1), "alpha"),
    (dict(batch_size=0), "batch_size"),
    (dict(learning_rate="converge"), "learning_rate"),
    (dict(learning_rate_init=0), "learning_rate_init"),
    (dict(power_t=-1), "power_t"),
    (dict(max_iter=0), "max_iter"),
    (dict(shuffle="true"), "shuffle"),
    (dict(tol=-1), "tol"),
    (dict(momentum=2), "momentum"),
    (dict(beta_1=1), "beta_1"),
    (dict(beta_2=-0.5), "beta_2"),
    (dict(epsilon=-0.5), "epsilon"),
    (dict(n_iter_no_change=0), "n_iter_no_change"),
    (dict(max_fun=0), "max_fun"),
    (dict(early_stopping=True, validation_fraction=1), "validation_fraction"),
    (dict(callback=3), "callback"),
    (dict(class_weight="heavy"), "class_weight"),
    (dict(class_weight={77: 1.0}), "class_weight"),
    (dict(validation_data=(1,)), "validation_data must be a pair"),
    (dict(validation_data=(np.zeros((3, 64)), [0, 1, 99])), "99"),
    (dict(validation_data=(np.zeros((3, 64)), [0, 1])), "3 examples and y has 2"),
    (dict(validation_data=(np.zeros((3, 5)), [0, 1, 2])), "validation_data: X has 5 features"),
    (dict(validation_data=(np.zeros((1, 64)), [0]), early_stopping=True), "at least two"),
    (dict(hidden_layer_sizes=True), "whole numbers"),
]


@pytest.mark.parametrize("parameters, message", BAD, ids=[str(list(parameters.items())[0]) for parameters, _ in BAD])
def test_a_bad_parameter_is_named_and_changes_nothing(parameters, message):
    X, y = _digits()
    model = ours.MLPClassifier(max_iter=2, random_state=0).fit(X, y)
    before, weights = dict(vars(model)), [array.copy() for array in _arrays(model)]
    model.set_params(**parameters)
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(X, y)
    assert {**vars(model), **dict.fromkeys(parameters)} == {**before, **dict.fromkeys(parameters)}
    assert all((a == b).all() for a, b in zip(_arrays(model), weights, strict=True))


def _bad_data():
    X, y = _digits()
    hole = X.copy()
    hole[5, 7] = np.nan
    few = np.ones(len(y))[:-1]
    return [
        (hole, y, None, "NaN"),
        (X, y[:-1], None, "inconsistent numbers of samples"),
        (X[:, :9], y, None, "9 features"),
        (X[0], y, None, "Expected 2D array"),
        (X, y + 5, None, "classes not in"),
        (X, y, few, "sample_weight"),
        (X, y, np.zeros(len(y)), "zero"),
        (X, y, -np.ones(len(y)), "[Nn]egative"),
        (X + 1j, y, None, "[Cc]omplex"),
        (X[:0], y[:0], None, "0 sample"),
    ]


@pytest.mark.parametrize("case", range(len(_bad_data())))
def test_bad_data_are_refused_before_anything_is_trained(case):
    X, y, weight, message = _bad_data()[case]
    model = ours.MLPClassifier(random_state=0).partial_fit(*_digits(), classes=range(10))
    before, weights = dict(vars(model)), [array.copy() for array in _arrays(model)]
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X, y, weight)
    assert vars(model) == before
    assert all((a == b).all() for a, b in zip(_arrays(model), weights, strict=True))
    fresh = ours.MLPClassifier()
    if "features" not in message and "classes" not in message:
        with pytest.raises(ValueError):
            fresh.partial_fit(X, y, weight, classes=range(10))
        assert vars(fresh) == vars(ours.MLPClassifier())


def test_a_net_that_diverges_is_not_kept():
    X, y = _regression()
    model = ours.MLPRegressor(solver="sgd", activation="identity", learning_rate_init=100, warm_start=True, max_iter=20)
    with pytest.raises(ValueError, match="non-finite"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        model.fit(X, y)
    assert not hasattr(model, "coefs_")
    model.set_params(learning_rate_init=1e-3).fit(X, y)
    weights = [array.copy() for array in _arrays(model)]
    with pytest.raises(ValueError, match="non-finite"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        model.set_params(learning_rate_init=100).fit(X, y)
    assert all((a == b).all() for a, b in zip(_arrays(model), weights, strict=True))


def test_negative_counts_are_an_error():
    X, y = _regression()
    with pytest.raises(ValueError, match="poisson.*y >= 0"):
        ours.MLPRegressor(loss="poisson").fit(X, y)


def test_a_warm_start_of_other_layer_sizes_is_an_error():
    X, y = _digits()
    model = ours.MLPClassifier(warm_start=True, max_iter=2).fit(X, y)
    with pytest.raises(ValueError, match=r"\[64, 100, 10\].*\[64, 5, 10\]"):
        model.set_params(hidden_layer_sizes=5).fit(X, y)


def test_sample_weights_are_routed():
    from sklearn.model_selection import cross_validate

    X, y = _digits()
    with config_context(enable_metadata_routing=True):
        model = ours.MLPClassifier(max_iter=2, random_state=0).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        weight = np.where(y < 5, 1e-9, 1.0)
        scores = cross_validate(model, X, y, cv=2, params={"sample_weight": weight}, return_estimator=True)
        plain = cross_validate(model, X, y, cv=2, return_estimator=True)
    assert _difference(scores["estimator"][0], plain["estimator"][0]) > 1e-3


def test_no_convergence_warns():
    X, y = _digits()
    for solver in ("adam", "lbfgs"):
        with pytest.warns(ConvergenceWarning):
            ours.MLPClassifier(solver=solver, max_iter=2).fit(X, y)


def test_nnc_has_the_module():
    assert nnc.sklearn is ours


def test_the_examples_of_the_docstrings():
    attempted = 0
    for example in doctest.DocTestFinder().find(ours.estimators):
        if example.name.endswith(".to_onnx") and not find_spec("onnx"):
            continue
        attempted += len(example.examples)
        assert doctest.DocTestRunner().run(example).failed == 0
    assert attempted >= 12


def test_the_session_of_the_readme():
    page = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    (session,) = re.findall(r"^```pycon\n(.*?)^```", page, flags=re.M | re.S)
    assert "nnc.sklearn" in session
    test = doctest.DocTestParser().get_doctest(session, {}, "README.md", "README.md", 0)
    assert doctest.DocTestRunner().run(test).failed == 0
