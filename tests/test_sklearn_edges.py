"""Unusual input to an estimator: the same results and the same errors as scikit-learn's.

And deliberate differences: where scikit-learn trains on nonsense or fails inside, ours raises an error with the reason.
"""

import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn")
pd = pytest.importorskip("pandas", reason="needs pandas")

import sklearn.neural_network as sk  # noqa: E402
from scipy import sparse  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.datasets import make_classification, make_multilabel_classification  # noqa: E402
from sklearn.utils import compute_sample_weight  # noqa: E402

import nnc  # noqa: E402
import nnc.sklearn as ours  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

X, Y = make_classification(120, 6, n_informative=4, n_classes=3, random_state=0)
NUMBERS = X @ np.random.default_rng(0).normal(size=6)
MULTILABEL = make_multilabel_classification(120, 6, n_classes=4, random_state=0)[1]
FRAME = pd.DataFrame(X, columns=list("abcdef"))
WITH_NAN, WITH_INF = (np.where(np.arange(X.size).reshape(X.shape) == 20, value, X) for value in (np.nan, np.inf))
SETTINGS = {"hidden_layer_sizes": (5,), "random_state": 0, "max_iter": 5}


def classifier(module, **parameters):
    return module.MLPClassifier(**SETTINGS | parameters)


def regressor(module, **parameters):
    return module.MLPRegressor(**SETTINGS | parameters)


def state(model, X=None):
    """Weights, biases, loss, examples seen and, with X, predictions."""
    parts = [*model.coefs_, *model.intercepts_, model.loss_, model.t_]
    return parts if X is None else [*parts, model.predict(X)]


def chunks(model, *parameters, classes=None):
    options = {} if classes is None else {"classes": classes}
    y = NUMBERS if classes is None else Y
    model.partial_fit(X, y, **options)
    for changed in parameters:
        model.set_params(**changed).partial_fit(X, y)
    return state(model, X)


def twice(model, y, other_y, **changed):
    return state(model.fit(X, y).set_params(**changed).fit(X, other_y), X)


def polars():
    return pytest.importorskip("polars").DataFrame(X, schema=list("abcdef"))


C, R = classifier, regressor
CASES = {
    "partial_fit by lbfgs": lambda m: chunks(R(m, solver="lbfgs"), {}),
    "partial_fit, then lbfgs": lambda m: chunks(R(m), {"solver": "lbfgs"}),
    "partial_fit by lbfgs, a classifier": lambda m: chunks(C(m, solver="lbfgs"), classes=[0, 1, 2]),
    "which have partial_fit": lambda m: [hasattr(kind(m, solver="lbfgs"), "partial_fit") for kind in (C, R)],
    "another learning rate in between": lambda m: chunks(R(m), {"learning_rate_init": 0.1}, {"alpha": 1.0}),
    "another batch in between": lambda m: chunks(R(m, solver="sgd"), {"batch_size": 7}, {"shuffle": False}),
    "another activation in between": lambda m: chunks(C(m), {"activation": "tanh"}, classes=[0, 1, 2]),
    "another solver in between": lambda m: chunks(R(m), {"solver": "sgd"}),
    "partial_fit, then fit": lambda m: state(C(m).partial_fit(X, Y, classes=range(5)).fit(X, Y), X),
    "fit, then partial_fit": lambda m: state(C(m).fit(X, Y).partial_fit(X, Y), X),
    "partial_fit without classes": lambda m: C(m).partial_fit(X, Y),
    "partial_fit of a class more": lambda m: C(m).partial_fit(X, Y, classes=[0, 1]),
    "partial_fit of other inputs": lambda m: R(m).partial_fit(X, NUMBERS).partial_fit(X[:, :2], NUMBERS),
    "warm start, other classes": lambda m: twice(C(m, warm_start=True), Y, Y + 1),
    "warm start, fewer classes": lambda m: twice(C(m, warm_start=True), Y, Y // 2),
    "warm start, text": lambda m: twice(C(m, warm_start=True), Y, Y.astype(str)),
    "not warm, other classes": lambda m: twice(C(m), Y, Y.astype(str)),
    **{
        f"{what} in {kind}": lambda m, bad=bad, kind=kind: C(m).fit(
            {"X": bad, "CSR": sparse.csr_array(bad), "a frame": FRAME * 0 + bad, "a list": bad.tolist()}[kind], Y
        )
        for what, bad in (("NaN", WITH_NAN), ("infinity", WITH_INF))
        for kind in ("X", "CSR", "a frame", "a list")
    },
    "NaN in y": lambda m: R(m).fit(X, WITH_NAN[:, 2]),
    "infinity in y": lambda m: R(m).partial_fit(X, WITH_INF[:, 2]),
    "NaN among labels": lambda m: C(m).fit(X, WITH_NAN[:, 2]),
    "NaN among weights": lambda m: R(m).fit(X, NUMBERS, sample_weight=WITH_NAN[:, 2]),
    "NaN in a prediction": lambda m: R(m).fit(X, NUMBERS).predict(WITH_NAN),
    "y of one column": lambda m: state(C(m).fit(X, Y[:, None]), X),
    "y of one column, numbers": lambda m: state(R(m).fit(X, NUMBERS[:, None]), X),
    "y of one column, partial_fit": lambda m: state(R(m).partial_fit(X, NUMBERS[:, None]), X),
    "two columns of labels": lambda m: C(m).fit(X, np.c_[Y, Y]),
    "y of three axes": lambda m: R(m).fit(X, NUMBERS[:, None, None]),
    "no y": lambda m: R(m).fit(X, None),
    "numbers as labels": lambda m: C(m).fit(X, NUMBERS),
    "sparse numbers": lambda m: R(m).fit(X, sparse.csr_array(NUMBERS[:, None])),
    "sparse labels": lambda m: state(C(m).fit(X, sparse.csr_array(MULTILABEL)), X),
    "sparse labels, CSC": lambda m: state(C(m).fit(X, sparse.csc_matrix(MULTILABEL)), X),
    "sparse labels, early stopping": lambda m: state(C(m, early_stopping=True).fit(X, sparse.csr_array(MULTILABEL)), X),
    **{
        f"{n} examples, {solver}": lambda m, n=n, solver=solver: state(R(m, solver=solver).fit(X[:n], NUMBERS[:n]), X)
        for n in (0, 1, 2)
        for solver in ("adam", "lbfgs")
    },
    **{f"{n} examples of classes": lambda m, n=n: state(C(m).fit(X[:n], Y[:n]), X) for n in (0, 1, 2)},
    "one class": lambda m: state(C(m).fit(X, 0 * Y), X),
    "a prediction for no examples": lambda m: C(m).fit(X, Y).predict_proba(X[:0]),
    "no inputs": lambda m: R(m).fit(X[:, :0], NUMBERS),
    **{
        f"early stopping with {n}": lambda m, n=n: state(C(m, early_stopping=True).fit(X[:n], Y[:n]), X)
        for n in (5, 10, 11, 21)
    },
    **{
        f"early stopping with {n} of two classes": lambda m, n=n: state(
            C(m, early_stopping=True).fit(X[:n], Y[:n] > 0), X
        )
        for n in (5, 11, 21)
    },
    "early stopping, weights": lambda m: state(
        C(m, early_stopping=True, max_iter=30).fit(X, Y, sample_weight=np.arange(120.0)), X
    ),
    "a polars frame": lambda m: state(C(m).fit(polars(), Y.astype(str)), polars()),
    "a polars frame, columns in another order": lambda m: C(m).fit(polars(), Y).predict(polars()[:, ::-1]),
    "a polars frame with a null": lambda m: C(m).fit(polars().with_columns(a=None), Y),
    "a polars column of numbers": lambda m: state(R(m).fit(polars(), polars()["a"], polars()["b"] ** 2), polars()),
    "pandas' own integers": lambda m: state(C(m).fit((FRAME * 2).round().astype("Int64"), Y), X),
    "pandas' NA": lambda m: C(m).fit(FRAME.astype("Float64").mask(FRAME > 2), Y),
    "a category": lambda m: state(C(m).fit(FRAME, pd.Series(Y).astype(str).astype("category")), FRAME),
}


def outcome(case, module):
    try:
        return case(module)
    except Exception as error:
        return type(error).__name__, str(error).replace("MLPClassifier", "").partition("\n")[0]


def assert_alike(found, expected):
    assert type(found) is type(expected) or np.isscalar(found)
    if isinstance(found, (list, tuple)):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert_alike(a, b)
    elif isinstance(found, np.ndarray) and found.dtype.kind == "f":
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    elif sparse.issparse(found):
        assert found.format == expected.format and (found != expected).nnz == 0
    elif isinstance(found, float):
        assert found == pytest.approx(expected, rel=1e-9)
    else:
        assert np.array_equal(found, expected), (found, expected)


@pytest.mark.parametrize("name", CASES)
def test_same_outcome_as_scikit_learn(name):
    expected = outcome(CASES[name], sk)
    assert_alike(outcome(CASES[name], ours), expected)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("kind", [C, R])
def test_float32_in_float32_out(kind, solver):
    X32 = X.astype(np.float32)
    model = kind(ours, solver=solver).fit(X32, Y, sample_weight=np.ones(len(Y)))
    found = [*model.coefs_, *model.intercepts_]
    if kind is C:
        found += [model.predict_proba(X32), model.predict_log_proba(X32), model.predict_proba(sparse.csr_array(X32))]
    else:
        found += [model.predict(X32), model.predict(sparse.csr_array(X32))]
    assert {array.dtype for array in found} == {np.dtype(np.float32)}


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_a_number_too_large_for_the_weights_is_refused(form):
    """In float32 it would be an infinity, and the prediction any class."""
    model = C(ours).fit(X.astype(np.float32), Y)
    with pytest.raises(ValueError, match="too large for dtype.'float32'"):
        model.predict(form(np.where(X == X[3, 2], -1e200, X)))
    np.testing.assert_array_equal(model.predict(form(X)), model.predict(X.astype(np.float32)))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_targets_and_weights_out_of_float32s_range_are_refused(form, solver):
    """They would become infinite or zero, and silently nothing would be learnt."""
    X32, model = form(X.astype(np.float32)), R(ours, solver=solver)
    with pytest.raises(ValueError, match="y contains a value too large for dtype.'float32'"):
        model.fit(X32, NUMBERS * 1e200)
    with pytest.raises(ValueError, match="sample_weight.* too large"):
        model.fit(X32, NUMBERS, sample_weight=np.where(np.arange(120) == 7, 1e200, 1.0))
    with pytest.raises(ValueError, match="Sample weights are all zero in dtype.'float32'"):
        model.fit(X32, NUMBERS, sample_weight=np.full(120, 1e-200))
    assert not hasattr(model, "coefs_")
    model.fit(form(X), NUMBERS * 1e100, sample_weight=np.full(120, 1e-100))  # in float64's range
    R(ours).fit(X32, NUMBERS * 1e-200).predict(X * 1e-200)  # values that round to 0 are allowed


def test_a_net_with_another_slope_is_refused():
    """The estimator would predict something else."""
    net = nnc.MLP([6, 5, 3], "leaky_relu", slope=0.3)
    with pytest.raises(ValueError, match="slope 0.01, and the net's 0.3"):
        ours.MLPClassifier.from_mlp(net)
    net.slope = 0.01
    np.testing.assert_array_equal(ours.MLPClassifier.from_mlp(net).predict(X), net.predict(X.T))


def test_labels_that_become_an_indicator_matrix_are_refused():
    """Its zeros and ones would be taken for classes."""
    model = C(ours, warm_start=True).fit(X, Y)
    before = state(model, X)
    for train in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match="indicator matrix"):
            train(X, np.eye(3, dtype=int)[Y])
    assert_alike(state(model, X), before)


def test_targets_that_are_text_are_refused():
    for y in (Y.astype(str), Y.astype(bytes)):
        with pytest.raises(TypeError, match="y must be numbers"):
            R(ours).fit(X, y)
        with pytest.raises(TypeError, match="y must be numbers"):
            R(ours, validation_data=(X, y)).fit(X, Y)


@pytest.mark.parametrize("first", [{"solver": "lbfgs"}, {"early_stopping": True}, {"early_stopping": False}], ids=str)
@pytest.mark.parametrize("then", ["fit", "partial_fit"])
def test_training_continues_with_another_solver_or_early_stopping(first, then):
    """After L-BFGS or with another early_stopping, scikit-learn's fail inside, at a None or a missing attribute."""
    model = C(ours, warm_start=True, **first).fit(X, Y)
    weights, epochs = model.coefs_[0].copy(), len(getattr(model, "loss_curve_", ()))
    early_stopping = then == "fit" and not first.get("early_stopping", False)
    getattr(model.set_params(solver="adam", early_stopping=early_stopping), then)(X, Y)
    assert len(model.loss_curve_) == epochs + (5 if then == "fit" else 1)
    assert 0 < abs(model.coefs_[0] - weights).max() < 0.1
    assert (model.best_loss_ is None) == early_stopping == (model.best_validation_score_ is not None)


def test_another_loss_is_refused():
    """scikit-learn's continues with the output activation of the first loss, and its loss is NaN."""
    model = R(ours).partial_fit(X, abs(NUMBERS))
    with pytest.raises(ValueError, match="identity.*exp"):
        model.set_params(loss="poisson").partial_fit(X, abs(NUMBERS))
    assert state(model.set_params(warm_start=False).fit(X, abs(NUMBERS)))[-1] > 0 and model.out_activation_ == "exp"


class Named(ours.MLPClassifier):
    """A user's estimator, as scikit-learn's conventions allow it."""

    def __init__(self, name="a", hidden_layer_sizes=(3,)):
        super().__init__(hidden_layer_sizes=hidden_layer_sizes, max_iter=2, random_state=0)
        self.name = name


def test_a_subclass_may_have_other_parameters():
    model = clone(Named("b", hidden_layer_sizes=(4,))).fit(X, Y)
    assert model.get_params() == {"name": "b", "hidden_layer_sizes": (4,)} and model.coefs_[0].shape == (6, 4)


def test_validation_data_that_do_not_fit_are_an_error():
    numbers = pd.Series(NUMBERS).astype(object)
    assert len(R(ours, validation_data=(FRAME, numbers)).fit(FRAME, NUMBERS).validation_scores_) == 5
    for model, y, pair, message in (
        (R(ours), NUMBERS, (X, np.c_[NUMBERS, NUMBERS]), r"\(120, 2\).*\(120,\)"),
        (C(ours), Y, (X, np.eye(3, dtype=int)[Y]), r"\(120, 3\).*\(120,\)"),
        (C(ours), Y, (1e200 * X, Y), "too large for dtype.'float32'"),
        (R(ours), NUMBERS, (X, WITH_NAN[:, 2]), "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            model.set_params(validation_data=pair).fit(X.astype(np.float32), y)
        assert not hasattr(model, "coefs_")


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_class_weights_are_not_negative(weight):
    with pytest.raises(ValueError, match="class_weight must be finite numbers, at least 0"):
        C(ours, class_weight={1: weight}).fit(X, Y)


def test_balanced_classes_and_weights_multiply():
    weight = np.random.default_rng(1).uniform(0.5, 2, len(Y))
    y = Y * (np.arange(len(Y)) < 60)
    balanced = C(ours, class_weight="balanced").fit(X, y, sample_weight=weight)
    by_hand = C(ours).fit(X, y, sample_weight=weight * compute_sample_weight("balanced", y))
    assert_alike(state(balanced, X), state(by_hand, X))
    assert abs(balanced.coefs_[0] - C(ours).fit(X, y, sample_weight=weight).coefs_[0]).max() > 1e-4


def test_a_column_of_y_warns_as_in_scikit_learn():
    for kind, y in ((C, Y), (R, NUMBERS)):
        warned = []
        for module in (ours, sk):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                kind(module).fit(X, y[:, None])
            warned.append([(each.category, str(each.message)) for each in caught])
        assert warned[0] == warned[1] and len(warned[0]) == 2
