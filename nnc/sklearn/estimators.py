"""MLPClassifier and MLPRegressor: their parameters, labels and targets; what they share is in base.py."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.base import ClassifierMixin, RegressorMixin, _fit_context
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d, compute_sample_weight
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

from .base import ATTRIBUTES, DTYPES, PARAMETERS, STOCHASTIC, BaseMLP, all_or_nothing


def _has_steps(estimator):
    """Whether the solver is stochastic, as partial_fit needs; raises if not."""
    if estimator.solver not in STOCHASTIC:
        raise AttributeError(
            f"partial_fit is only available for the stochastic solvers, sgd and adam, not for {estimator.solver}"
        )
    return True


def _flat(y):
    """One column as (r,), with scikit-learn's warning; everything else as it is."""
    return column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y


class MLPClassifier(ClassifierMixin, BaseMLP):
    __doc__ = f"""A net that classifies: softmax, or a sigmoid for two classes and for several labels at once.

    `sklearn.neural_network.MLPClassifier`, trained by the engine. With the same random_state the weights are those of
    scikit-learn to rounding.

    Parameters
    ----------
    {PARAMETERS}
    class_weight : dict, "balanced" or None
        Not in scikit-learn's. The weight of each class, as in its other classifiers.

    Attributes
    ----------
    classes_ : ndarray, or list of them
    {ATTRIBUTES}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from nnc.sklearn import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(solver="lbfgs", random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.95
    True
    """

    _parameter_constraints: dict = {
        **BaseMLP._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }
    _metric = staticmethod(accuracy_score)

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        class_weight=None,
        validation_data=None,
        callback=None,
        progress_bar=False,
    ):
        self._store_parameters(locals())

    @available_if(_has_steps)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """One epoch over X and y, from the current weights and solver state.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        classes : array-like, optional
            All classes that will occur; needed in the first call.

        Returns
        -------
        self

        Raises
        ------
        AttributeError
            With lbfgs, which has no epochs.
        ValueError, TypeError
            As in `fit`; if the first call has no `classes`; with early_stopping or class_weight="balanced", which need
            all examples.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from nnc.sklearn import MLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = MLPClassifier(random_state=0)
        >>> for _ in range(100):
        ...     model = model.partial_fit(X[::2], y[::2], classes=[0, 1, 2]).partial_fit(X[1::2], y[1::2])
        >>> model.score(X, y) > 0.9
        True
        """
        with all_or_nothing(self):
            if _check_partial_fit_first_call(self, classes):
                self._label_binarizer = LabelBinarizer()
                self._label_binarizer.fit(y if type_of_target(y).startswith("multilabel") else classes)
            return self._fit(X, y, sample_weight, True)

    def predict_proba(self, X):
        """The probability of each class for each example.

        Parameters
        ----------
        X : array-like or sparse matrix, (r, m)

        Returns
        -------
        P : ndarray, (r, n), in the dtype of the weights
            A column for each of `classes_`, in that order.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError
            As `predict`.

        Examples
        --------
        >>> from nnc.sklearn import MLPClassifier
        >>> model = MLPClassifier((), solver="lbfgs", random_state=0).fit([[-2.0], [-1.0], [1.0]], ["no", "no", "yes"])
        >>> model.predict_proba([[-9.0], [9.0]]).round(2)
        array([[1., 0.],
               [0., 1.]])
        """
        check_is_fitted(self)
        P = self._outputs(X)
        if self.n_outputs_ == 1:
            return np.hstack([1 - P, P])
        return P

    def predict_log_proba(self, X):
        """The logarithm of `predict_proba`; -inf where a probability is 0.

        Parameters
        ----------
        X : array-like or sparse matrix, (r, m)

        Returns
        -------
        ndarray, (r, n), in the dtype of the weights
        """
        P = self.predict_proba(X)
        return np.log(P, out=P)

    # ---- labels ------------------------------------------------------------------------------------------------------

    def _validate_input(self, X, y, incremental, reset):
        X, given = validate_data(self, X, y, accept_sparse="csr", multi_output=True, dtype=DTYPES, reset=reset)
        y = _flat(given.toarray() if sparse.issparse(given) else given)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            # of sparse labels, so that predictions are sparse, too
            self._label_binarizer = LabelBinarizer().fit(given if y.ndim == 2 else y)
            self.classes_ = self._label_binarizer.classes_
            return X, y
        if y.ndim == 2 and not self._label_binarizer.y_type_.startswith("multilabel"):
            raise ValueError(f"y had one label for each example before, and is now an indicator matrix {y.shape}.")
        classes = unique_labels(y)
        if self.warm_start:
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {classes}"
                )
        elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}."
            )
        return X, y

    def _validate_validation_y(self, y):
        y = _flat(y.toarray() if sparse.issparse(y) else np.asarray(y))
        unknown = np.setdiff1d(unique_labels(y), self.classes_)
        if len(unknown):
            raise ValueError(f"y has classes {unknown}, which are not in the training y")
        return y

    def _total_weight(self, y, sample_weight, incremental):
        """The weight of each example, the class's times its own, or None."""
        if self.class_weight is None:
            return sample_weight
        if incremental and self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is not supported by partial_fit, which sees only a part of the data; "
                "pass the weights as a dict"
            )
        weight = compute_sample_weight(self.class_weight, y)
        if not (np.isfinite(weight).all() and weight.min() >= 0):
            raise ValueError(f"class_weight must be finite numbers, at least 0, got {self.class_weight}.")
        return weight if sample_weight is None else weight * sample_weight

    def _output_activation(self):
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _count_outputs(self, target):
        return len(self.classes_) if target.ndim == 1 else target.shape[1]

    def _encode(self, y):
        """The indices of the labels in classes_, (r,), for a softmax; else an indicator (r, n) for the sigmoids."""
        if self._label_binarizer.y_type_ == "multiclass":
            return np.searchsorted(self.classes_, y)
        return self._label_binarizer.transform(y).astype(bool)

    def _decide(self, P):
        return self._label_binarizer.inverse_transform(P.ravel() if self.n_outputs_ == 1 else P)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, BaseMLP):
    __doc__ = f"""A net that predicts numbers: the last layer as it is, or its exponential for the Poisson loss.

    `sklearn.neural_network.MLPRegressor`, trained by the engine. With the same random_state the weights are those of
    scikit-learn to rounding.

    Parameters
    ----------
    loss : {{"squared_error", "poisson"}}, default "squared_error"
        Half the squared error, or half the Poisson deviance with a log link, for which y must be at least 0.
    {PARAMETERS}

    Attributes
    ----------
    {ATTRIBUTES}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from nnc.sklearn import MLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = MLPRegressor(hidden_layer_sizes=20, solver="lbfgs", alpha=1, random_state=0, max_iter=500).fit(X, y)
    >>> model.score(X, y) > 0.5
    True
    """

    _parameter_constraints: dict = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions({"squared_error", "poisson"})],
    }
    _metric = staticmethod(r2_score)

    def __init__(
        self,
        loss="squared_error",
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        validation_data=None,
        callback=None,
        progress_bar=False,
    ):
        self._store_parameters(locals())

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """One epoch over X and y, from the current weights and solver state.

        With lbfgs, which has no epochs, a whole training from these weights, as in scikit-learn's regressor.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            As in `fit`, and with early_stopping, which needs all examples.
        """
        with all_or_nothing(self):
            return self._fit(X, y, sample_weight, True)

    # ---- targets -----------------------------------------------------------------------------------------------------

    def _validate_input(self, X, y, incremental, reset):
        X, y = validate_data(
            self, X, y, accept_sparse="csr", multi_output=True, y_numeric=True, dtype=DTYPES, reset=reset
        )
        return X, self._validate_y(y)

    def _validate_y(self, y):
        if y.dtype.kind not in "biuf":
            raise TypeError(f"y must be numbers, but its dtype is {y.dtype}.")
        y = _flat(y)
        if self.loss == "poisson" and (y < 0).any():
            raise ValueError(f"loss='poisson' needs y >= 0, but the minimum of y is {y.min()}")
        return y

    def _validate_validation_y(self, y):
        y = np.asarray(y)
        return self._validate_y(y.astype(np.float64) if y.dtype.kind == "O" else y)

    def _total_weight(self, y, sample_weight, incremental):
        return sample_weight

    def _output_activation(self):
        return "exp" if self.loss == "poisson" else "identity"

    def _count_outputs(self, target):
        return target.shape[1]

    def _encode(self, y):
        return y.reshape(len(y), -1)

    def _decide(self, P):
        return P.ravel() if P.shape[1] == 1 else P
