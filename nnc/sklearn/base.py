"""What MLPClassifier and MLPRegressor share: fit, predict, the conversions; the solvers are in training.py.

Examples are rows here, as in scikit-learn: X (r, m), ``coefs_[i]`` (m, n). Both are transposed views of the engine's
arrays, if their memory layout is that of the engine.
"""

from __future__ import annotations

import numbers
from contextlib import contextmanager
from itertools import chain

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from . import convert, network, training

STOCHASTIC = ("sgd", "adam")
DTYPES = (np.float64, np.float32, np.uint8)  # what the engine reads; others are converted to the first


@contextmanager
def all_or_nothing(estimator):
    """An error leaves the estimator's attributes as they were."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def _check_range(values, dtype, what):
    """Refuse values of a wider dtype that would be infinite in the net's dtype."""
    is_wider = values.dtype.itemsize > dtype.itemsize and values.size
    if is_wider and max(-values.min(), values.max()) > np.finfo(dtype).max:
        raise ValueError(f"{what} contains a value too large for {dtype!r}, that of the weights.")


class BaseMLP(BaseEstimator):
    """The base class of both estimators."""

    _parameter_constraints: dict = {
        "hidden_layer_sizes": ["array-like", Interval(numbers.Integral, 1, None, closed="left")],
        "activation": [StrOptions({"identity", "logistic", "tanh", "relu", "leaky_relu"})],
        "solver": [StrOptions({"lbfgs", *STOCHASTIC})],
        "alpha": [Interval(numbers.Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(numbers.Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(numbers.Real, 0, None, closed="neither")],
        "power_t": [Interval(numbers.Real, 0, None, closed="left")],
        "max_iter": [Interval(numbers.Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(numbers.Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(numbers.Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(numbers.Real, 0, 1, closed="left")],
        "beta_1": [Interval(numbers.Real, 0, 1, closed="left")],
        "beta_2": [Interval(numbers.Real, 0, 1, closed="left")],
        "epsilon": [Interval(numbers.Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(numbers.Integral, 1, None, closed="left"), Options(numbers.Real, {np.inf})],
        "max_fun": [Interval(numbers.Integral, 1, None, closed="left")],
        "validation_data": ["array-like", None],
        "callback": [callable, None],
        "progress_bar": ["boolean"],
    }

    def _store_parameters(self, arguments):
        """Store the arguments of __init__, its locals(), unchanged as attributes, for get_params and set_params."""
        vars(self).update((name, value) for name, value in arguments.items() if name != "self")

    # ---- fit ---------------------------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, validation_data=None):
        """Train on X and y.

        Parameters
        ----------
        X : array-like or sparse matrix, (r, m)
            The examples. float32, float64 and uint8 in C order are read where they are, also on disk (`numpy.memmap`);
            float32 trains a float32 net, everything else a float64 one. A sparse matrix never becomes dense.
        y : array-like, (r,) or (r, n)
            Labels of any kind, or an indicator matrix of many labels; numbers, for a regressor.
        sample_weight : array-like, (r,), optional
            How much each example counts, at least 0.
        validation_data : pair (X, y), optional
            Instead of the parameter of this name.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data is invalid, or the weights are no longer finite; the estimator is then unchanged.
        """
        with all_or_nothing(self):
            return self._fit(X, y, sample_weight, False, validation_data)

    def _fit(self, X, y, sample_weight, incremental, validation_data=None):
        sizes = self._hidden_sizes()
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        if incremental and self.early_stopping and self.solver in STOCHASTIC:
            raise ValueError("partial_fit does not support early_stopping=True: it sees only a part of the data")
        X, y = self._validate_input(X, y, incremental, first)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        weight = self._total_weight(y, sample_weight, incremental)
        if weight is not None and not weight.any():
            raise ValueError("Sample weights are all zero: there is nothing to learn from.")
        target = self._encode(y)
        self.n_outputs_ = self._count_outputs(target)
        self._random_state = check_random_state(self.random_state)
        sizes = [X.shape[1], *sizes, self.n_outputs_]
        if first:
            self._initialize(sizes, X.dtype)
        else:
            self._check_net(sizes)
        _check_range(target, self.coefs_[0].dtype, "y")
        if weight is not None:
            _check_range(weight, self.coefs_[0].dtype, "sample_weight, with the class weights,")
            if not weight.astype(self.coefs_[0].dtype).any():
                raise ValueError(f"Sample weights are all zero in {self.coefs_[0].dtype!r}, the dtype of the weights.")
        if not first and not incremental:  # a diverging warm start must leave the old weights
            self.coefs_ = [coef.copy(order="K") for coef in self.coefs_]
            self.intercepts_ = [intercept.copy() for intercept in self.intercepts_]
        if validation_data is None:
            validation_data = self.validation_data
        validation = None if validation_data is None else self._validate_pair(validation_data, y)
        if self.solver in STOCHASTIC:
            self._reset_progress(first)
            training.by_steps(self, X, target, y, weight, incremental, validation)
        else:
            training.by_lbfgs(self, X, target, weight, validation)
        if not all(np.isfinite(array).all() for array in chain(self.coefs_, self.intercepts_)):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be"
                " preprocessed."
            )
        return self

    def _hidden_sizes(self):
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if np.iterable(sizes) else [sizes]
        for size in sizes:
            if not isinstance(size, numbers.Integral) or isinstance(size, bool):
                raise TypeError(f"hidden_layer_sizes must be whole numbers, got {sizes}.")
        if any(size <= 0 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return [int(size) for size in sizes]

    def _initialize(self, sizes, dtype):
        """Glorot and Bengio's uniform weights (eq. 17.5), and biases, drawn in scikit-learn's order."""
        dtype = np.dtype(dtype if dtype == np.float32 else np.float64)
        self.n_iter_ = 0
        self.t_ = 0
        self.n_layers_ = len(sizes)
        self.out_activation_ = self._output_activation()
        self.coefs_, self.intercepts_ = [], []
        factor = 2.0 if self.activation == "logistic" else 6.0
        for m, n in zip(sizes[:-1], sizes[1:], strict=True):
            bound = np.sqrt(factor / (m + n))
            self.coefs_.append(self._random_state.uniform(-bound, bound, (m, n)).astype(dtype, copy=False))
            self.intercepts_.append(self._random_state.uniform(-bound, bound, n).astype(dtype, copy=False))

    def _reset_progress(self, first):
        """Reset what decides when to stop, unless a fit by sgd or adam with the same early_stopping goes on."""
        if first or not hasattr(self, "loss_curve_"):
            self.loss_curve_ = []
        elif (self.best_loss_ is None) == self.early_stopping:
            return
        self._no_improvement_count = 0
        self.best_loss_ = None if self.early_stopping else np.inf
        self.validation_scores_ = [] if self.early_stopping else None
        self.best_validation_score_ = -np.inf if self.early_stopping else None
        self._best = None

    def _check_net(self, sizes):
        """The layers of the net so far must be those that the parameters and the data ask for."""
        units = [self.coefs_[0].shape[0], *(coef.shape[1] for coef in self.coefs_)]
        if units != sizes:
            raise ValueError(
                f"the net has layers of {units} units, but hidden_layer_sizes and the data ask for {sizes}; "
                "use a new estimator, or warm_start=False"
            )
        if self.out_activation_ != self._output_activation():
            raise ValueError(
                f"the net's last activation is {self.out_activation_}, but loss and y ask for "
                f"{self._output_activation()}; use a new estimator, or warm_start=False"
            )

    def _validate_pair(self, pair, trained_on):
        try:
            X, y = pair
        except (TypeError, ValueError):
            raise ValueError("validation_data must be a pair (X, y)") from None
        try:
            X = self._validate_X(X)
            y = self._validate_validation_y(y)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"validation_data: {error}") from error
        if len(y) != X.shape[0]:
            raise ValueError(f"validation_data: X has {X.shape[0]} examples and y has {len(y)}")
        if y.shape[1:] != trained_on.shape[1:]:
            raise ValueError(f"validation_data: y is {y.shape}, and the training y is {trained_on.shape}")
        return X, y

    def _validate_X(self, X):
        """Examples for the fitted net, in a dtype that the engine reads."""
        X = validate_data(self, X, accept_sparse="csr", dtype=DTYPES, reset=False)
        _check_range(X.data if sparse.issparse(X) else X, self.coefs_[0].dtype, "Input X")
        return X

    # ---- predict -----------------------------------------------------------------------------------------------------

    def predict(self, X):
        """The prediction for each example.

        Parameters
        ----------
        X : array-like or sparse matrix, (r, m)

        Returns
        -------
        ndarray, (r,), or (r, n) where there are several outputs
            A classifier gives labels, the most probable of each example (a sparse indicator matrix where it was trained
            on one); a regressor numbers, in the dtype of the weights.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If there was no `fit`.
        ValueError
            If X is not (r, m), has other column names, or numbers that are NaN, infinite or too large for the dtype of
            the weights.

        Examples
        --------
        >>> import numpy as np
        >>> from nnc.sklearn import MLPClassifier
        >>> model = MLPClassifier((), solver="lbfgs", random_state=0).fit([[-2.0], [-1.0], [1.0]], ["no", "no", "yes"])
        >>> model.predict([[-1.5], [1.5]])
        array(['no', 'yes'], dtype='<U3')
        """
        check_is_fitted(self)
        return self._decide(self._outputs(X))

    def _outputs(self, X):
        return self._outputs_unchecked(self._validate_X(X))

    def _outputs_unchecked(self, X):
        """(r, n): the outputs of the last layer, of an X that is checked already."""
        return network.predict(X, self.coefs_, self.intercepts_, self.activation, self.out_activation_)

    def _validation_score(self, X, y, sample_weight=None):
        """Accuracy or R² of examples that are checked already; NaN where an output is not finite."""
        P = self._outputs_unchecked(X)
        if not np.isfinite(P).all():
            return np.nan
        return self._metric(y, self._decide(P), sample_weight=sample_weight)

    # ---- conversions -------------------------------------------------------------------------------------------------

    def to_mlp(self):
        """An `nnc.MLP` with these weights: the same outputs, from examples as columns, and classes counted from 0.

        Examples
        --------
        >>> import numpy as np
        >>> from nnc.sklearn import MLPRegressor
        >>> X = np.linspace(-1, 1, 20).reshape(-1, 1)
        >>> model = MLPRegressor(hidden_layer_sizes=8, solver="lbfgs", random_state=0).fit(X, X.ravel() ** 2)
        >>> net = model.to_mlp()
        >>> bool(np.allclose(net.predict_proba(X.T)[0], model.predict(X)))
        True
        """
        check_is_fitted(self)
        return convert.to_mlp(self)

    def to_onnx(self, path):
        """Write the estimator to `path` as an ONNX graph, whole or not at all.

        X (batch, m) in, of the dtype of the weights. Out of a classifier come `label` (batch,), int64 or string, and
        `probabilities` (batch, n), a tensor with a column for each of `classes_`; where an example has several labels,
        `label` is (batch, n) of 0 and 1. Out of a regressor comes `variable` (batch, n). The names are those that
        skl2onnx gives. `nnc.MLP.from_onnx` reads the graph as a net.

        Raises
        ------
        ImportError
            If onnx is missing: ``pip install 'nnc-engine[onnx]'``.
        ValueError
            If classes are neither strings nor numbers that are whole and fit int64.
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> import os, tempfile
        >>> from sklearn.datasets import load_iris
        >>> from nnc.sklearn import MLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = MLPClassifier(solver="lbfgs", random_state=0).fit(X, y)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "iris.onnx")
        ...     model.to_onnx(path)
        ...     os.path.exists(path)
        True
        """
        check_is_fitted(self)
        from .to_onnx import write

        write(self, path)

    @classmethod
    def from_mlp(cls, net, classes=None):
        """An estimator with the weights of an `nnc.MLP`, copied.

        Parameters
        ----------
        net : nnc.MLP
            With one activation in all hidden layers, and no normalisation of the inputs: use a scaler in a pipeline.
        classes : array-like, (n,), optional
            For a classifier: the class of each output of the net, 0, 1, … by default; for a single output, the classes
            of its 0 and its 1. An estimator's classes are sorted, and its outputs are put in that order. A softmax of
            two becomes the sigmoid that an estimator has for two classes.

        Raises
        ------
        TypeError
            If net is not an nnc.MLP, or its loss is a regressor's and this is a classifier, or the reverse.
        ValueError
            If the net or the classes do not fit.

        Examples
        --------
        >>> import numpy as np
        >>> import nnc
        >>> from nnc.sklearn import MLPClassifier
        >>> net, names, x = nnc.MLP([2, 3, 3], seed=0), np.array(["red", "green", "blue"]), np.array([[1.0, -2.0]])
        >>> model = MLPClassifier.from_mlp(net, names)
        >>> bool(model.predict(x)[0] == names[net.predict(x.T)[0]])
        True
        """
        return convert.from_mlp(cls, net, classes)

    @classmethod
    def from_sklearn(cls, estimator):
        """The same estimator from the one of `sklearn.neural_network`, fitted or not; what it has learnt is copied.

        Examples
        --------
        >>> import sklearn.neural_network
        >>> from nnc.sklearn import MLPClassifier
        >>> MLPClassifier.from_sklearn(sklearn.neural_network.MLPClassifier(alpha=0.01))
        MLPClassifier(alpha=0.01)
        """
        return convert.from_sklearn(cls, estimator)

    def to_sklearn(self):
        """The same estimator of `sklearn.neural_network`, to use without nnc; what it has learnt is copied.

        The parameters that are not in scikit-learn, class_weight among them, are left out: they affect the training
        only. An estimator with leaky_relu, which scikit-learn does not have, is a ValueError.
        """
        return convert.to_sklearn(self)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


PARAMETERS = """\
hidden_layer_sizes : array-like of int, default (100,)
        The units of each hidden layer.
    activation : {"identity", "logistic", "tanh", "relu", "leaky_relu"}, default "relu"
        Of the hidden layers. leaky_relu is not in scikit-learn.
    solver : {"lbfgs", "sgd", "adam"}, default "adam"
        L-BFGS is SciPy's, over all examples at a time.
    alpha : float, default 1e-4
        L2: ½ alpha Σ W² / r is added to the loss of a batch of r examples.
    batch_size : int or "auto", default "auto"
        min(200, examples).
    learning_rate : {"constant", "invscaling", "adaptive"}, default "constant"
        For sgd: learning_rate_init; learning_rate_init / (t + 1)^power_t after t examples; or divided by 5 after every
        n_iter_no_change epochs without progress.
    learning_rate_init : float, default 0.001
    power_t : float, default 0.5
    max_iter : int, default 200
        Epochs, or iterations of L-BFGS, at most.
    shuffle : bool, default True
        A new order of the examples in each epoch.
    random_state : int, RandomState or None
        Of the initial weights, the early-stopping split and the orders; the draws are scikit-learn's.
    tol : float, default 1e-4
    verbose : bool, default False
    warm_start : bool, default False
        `fit` goes on from the last weights.
    momentum : float, default 0.9
    nesterovs_momentum : bool, default True
    early_stopping : bool, default False
        Hold out validation_fraction of the examples, stop when their score does not rise by tol within n_iter_no_change
        epochs, and restore the best weights.
    validation_fraction : float, default 0.1
    beta_1, beta_2, epsilon : float, default 0.9, 0.999, 1e-8
        Of adam.
    n_iter_no_change : int, default 10
    max_fun : int, default 15000
        Evaluations of the loss, for lbfgs.
    validation_data : pair (X, y), optional
        Not in scikit-learn. Examples that are scored after each epoch (`validation_scores_`); with
        early_stopping they are used instead of a part of the training data. A pipeline does not transform them.
    callback : callable, optional
        Not in scikit-learn. ``callback(epoch, estimator)`` after each epoch, counted from 0; True ends the training.
    progress_bar : bool, default False
        Not in scikit-learn. A bar over the epochs (tqdm)."""

ATTRIBUTES = """\
coefs_, intercepts_ : list of ndarray
        W (m, n) and b (n,) of each layer.
    loss_ : float
        Of the last epoch: the mean over its examples as they were seen, with the L2 term.
    best_loss_ : float or None
        The smallest loss of an epoch; None with early_stopping.
    loss_curve_ : list of float
        The loss of each epoch.
    validation_scores_ : list of float or None
        The score after each epoch, if there are validation examples.
    best_validation_score_ : float or None
    t_ : int
        Examples seen so far.
    n_iter_ : int
        Epochs, or iterations of L-BFGS, of the last fit.
    n_layers_, n_outputs_ : int
    out_activation_ : str
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has named columns."""
