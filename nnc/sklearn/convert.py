"""Conversions between the estimators, scikit-learn's own, and `nnc.MLP`. Weights and solver state are copied."""

from copy import deepcopy

import numpy as np
import sklearn.neural_network as sklearn_networks
import sklearn.neural_network._stochastic_optimizers as sklearn_optimizers
from sklearn.preprocessing import LabelBinarizer

from ..mlp.model import MLP
from . import network, optimizers

_NOT_IN_SKLEARN = ("class_weight", "validation_data", "callback", "progress_bar")  # parameters


# ---- scikit-learn ----------------------------------------------------------------------------------------------------


def from_sklearn(cls, estimator):
    """An estimator of class `cls` from scikit-learn's of the same name."""
    wanted = getattr(sklearn_networks, cls.__name__)
    if not isinstance(estimator, wanted):
        raise TypeError(
            f"{cls.__name__}.from_sklearn takes a sklearn.neural_network.{wanted.__name__}, not {estimator!r}"
        )
    made = cls(**estimator.get_params(deep=False))
    _copy_fit(estimator, made, optimizers)
    if getattr(estimator, "best_validation_score_", None) is not None:
        made._best = [made.coefs_, made.intercepts_]
    return made


def to_sklearn(estimator):
    """scikit-learn's estimator of the same name."""
    parameters = estimator.get_params(deep=False)
    if estimator.activation == "leaky_relu":
        raise ValueError(f"{type(estimator).__name__}.to_sklearn: scikit-learn has no leaky_relu")
    made = getattr(sklearn_networks, type(estimator).__name__)(
        **{name: value for name, value in parameters.items() if name not in _NOT_IN_SKLEARN}
    )
    _copy_fit(estimator, made, sklearn_optimizers)
    if hasattr(made, "coefs_"):
        best = getattr(estimator, "_best", None) or (made.coefs_, made.intercepts_)
        made._best_coefs, made._best_intercepts = deepcopy(list(best))
    return made


def _copy_fit(source, made, optimizers_of_made):
    """Copy the attributes that are not parameters; the optimizer becomes the other package's."""
    parameters = source.get_params(deep=False)
    for name, value in vars(source).items():
        if name in parameters or name in ("_best", "_best_coefs", "_best_intercepts"):
            continue
        value = deepcopy(value)
        if name == "_optimizer":
            optimizer = getattr(optimizers_of_made, type(value).__name__)([])
            vars(optimizer).update(vars(value))
            value = optimizer
        setattr(made, name, value)


# ---- nnc.MLP ---------------------------------------------------------------------------------------------------------


def to_mlp(estimator):
    """The net with transposed copies: coefs_[i] (m, n) becomes W (n, m), intercepts_[i] (n,) becomes b (n, 1)."""
    sizes = [estimator.coefs_[0].shape[0], *(coef.shape[1] for coef in estimator.coefs_)]
    net = MLP(
        sizes, activation=network.ACTIVATIONS[estimator.activation], init=lambda n, m: np.zeros((n, m)),
        dtype=estimator.coefs_[0].dtype, loss=network.LOSSES[estimator.out_activation_],
    )  # fmt: skip
    for layer, (coef, intercept) in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True)):
        net.weights[layer][...] = coef.T
        net.biases[layer][...] = intercept[:, None]
    return net


def from_mlp(cls, net, classes=None):
    """An estimator that predicts as the net does, and may be trained on (partial_fit, or warm_start)."""
    name = f"{cls.__name__}.from_mlp"
    if not isinstance(net, MLP):
        raise TypeError(f"{name} takes an nnc.MLP, not {net!r}")
    outputs = {loss: out for out, loss in network.LOSSES.items()}
    classifies = outputs[net.loss_name] in ("softmax", "logistic")
    if classifies != hasattr(cls, "predict_proba"):
        raise TypeError(
            f"{name}: a net with the loss {net.loss_name!r} {'is' if classifies else 'is not'} a classifier"
        )
    if len(set(net.activations)) > 1:
        raise ValueError(f"{name}: an estimator has one activation, and the net has {list(net.activations)}")
    if (net.mean != 0).any() or (net.std != 1).any():
        raise ValueError(f"{name}: the net normalises its inputs (mean, std), which an estimator leaves to a scaler")
    if "leaky_relu" in net.activations and net.slope != network.SLOPE:
        raise ValueError(f"{name}: an estimator's leaky_relu has slope {network.SLOPE}, and the net's {net.slope:g}")
    names = {of_net: of_estimator for of_estimator, of_net in network.ACTIVATIONS.items()}
    made = cls(hidden_layer_sizes=tuple(net.sizes[1:-1]), activation=names[(*net.activations, "relu")[0]])
    made.out_activation_ = outputs[net.loss_name]
    made.coefs_ = [W.T.copy(order="K") for W in net.weights]
    made.intercepts_ = [b[:, 0].copy() for b in net.biases]
    if not classifies:
        made.loss = net.loss_name
    else:
        _set_classes(made, net, classes, name)
    made.n_features_in_, made.n_outputs_, made.n_layers_ = net.sizes[0], len(made.intercepts_[-1]), len(net.sizes)
    made.n_iter_ = made.t_ = made._no_improvement_count = 0
    made.loss_curve_, made.best_loss_ = [], np.inf
    made.validation_scores_ = made.best_validation_score_ = made._best = None
    return made


def _set_classes(made, net, classes, name):
    """Output k is that of `classes[k]`; of a single output, classes[0] is its 0 and classes[1] its 1. An estimator's
    classes are sorted, and its outputs with them; for two classes it has one output."""
    outputs, kind = net.sizes[-1], made.out_activation_
    wanted = outputs if kind == "softmax" else max(outputs, 2)
    classes = np.arange(wanted) if classes is None else np.asarray(classes)
    made.classes_, order = np.unique(classes, return_index=True)
    if classes.shape != (wanted,) or len(made.classes_) != wanted or wanted < 2:
        raise ValueError(
            f"{name}: a net of {outputs} outputs with the loss {net.loss_name!r}, and "
            f"{len(made.classes_)} different classes: {classes}"
        )
    if kind == "logistic" and outputs > 1:  # multilabel
        made.classes_ = classes
        made._label_binarizer = LabelBinarizer().fit(np.eye(outputs, dtype=int))
        return
    made._label_binarizer = LabelBinarizer().fit(classes)
    W, b = net.weights[-1], net.biases[-1][:, 0]
    if outputs == 1:  # minus: the probability of the other class
        W, b = (W.copy(), b.copy()) if order[0] == 0 else (-W, -b)
    elif outputs == 2:  # a softmax of two is a sigmoid of the difference of the scores
        made.out_activation_ = "logistic"
        W, b = W[order[1:]] - W[order[:1]], b[order[1:]] - b[order[:1]]
    else:
        W, b = W[order], b[order]
    made.coefs_[-1], made.intercepts_[-1] = W.T, b
