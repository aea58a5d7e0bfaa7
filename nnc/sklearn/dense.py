"""Training on dense examples: the engine's epochs, and its loss and gradient of all examples for L-BFGS."""

import numpy as np

from .. import _engine
from ..mlp.arguments import with_contiguous_examples
from . import network
from .optimizers import EngineState


def _open(estimator, weights, biases, X, target, weight, batch_size, lr, momentum, **options):
    """The engine's training of these arrays, in place; X (r, m) is not copied if its examples are contiguous."""
    dtype = weights[0].dtype
    y = np.ascontiguousarray(target, np.intp) if target.ndim == 1 else target.astype(dtype).T
    return _engine.Fit(
        weights, biases, *network.settings(estimator.activation, len(weights), dtype), with_contiguous_examples(X.T), y,
        batch_size, lr, momentum, False, 0, loss=network.LOSSES[estimator.out_activation_],
        sample_weight=None if weight is None else np.ascontiguousarray(weight, dtype), **options,
    )  # fmt: skip


class Epochs:
    """sgd and adam. The arrays of the estimator become transposed views of the engine's."""

    def __init__(self, estimator, X, target, weight, batch_size):
        weights, biases = map(network.engine_arrays, (estimator.coefs_, estimator.intercepts_))
        layers = len(weights)
        views = network.estimator_arrays([*weights, *biases])
        estimator.coefs_, estimator.intercepts_ = views[:layers], views[layers:]
        self.scale = network.loss_scale(estimator)
        optimizer = estimator._optimizer
        self.state = EngineState(optimizer, network.engine_arrays, network.estimator_arrays)
        options = {
            "optimizer": self.state.name,
            "state": [array for arrays in self.state.lists for array in arrays] or None,
        }
        if self.state.is_adam:
            options |= dict(beta2=optimizer.beta_2, eps=optimizer.epsilon, eps_after=True, steps=optimizer.t)
        self.engine = _open(
            estimator, weights, biases, X, target, weight, batch_size, self.state.rate, self.state.beta1, **options,
            weight_decay=estimator.alpha, decay_is_shared=True, penalty=estimator.alpha > 0,
        )  # fmt: skip

    def run(self, order):
        """One epoch over the examples in this order; the mean loss of its batches."""
        [(loss, _)] = self.engine.epochs(1, self.state.learning_rate(), order)
        return loss * self.scale + self.engine.penalty

    def close(self):
        self.state.close(self.engine.steps)


class WholeLoss:
    """J and its gradient over all examples as functions of one vector: all W, then all b."""

    def __init__(self, estimator, X, target, weight):
        sizes = [X.shape[1], *(coef.shape[1] for coef in estimator.coefs_)]
        self.shapes = [(n, m) for m, n in zip(sizes[:-1], sizes[1:], strict=True)] + [(n, 1) for n in sizes[1:]]
        self.ends = np.cumsum([n * m for n, m in self.shapes])
        self.layers = len(sizes) - 1
        self.of_weights = self.ends[self.layers - 1]
        arrays = network.engine_arrays([*estimator.coefs_, *estimator.intercepts_])
        self.start = np.concatenate([array.ravel() for array in arrays])
        self.x, self.gradient = self.start.copy(), np.zeros_like(self.start)
        parameters = self._pieces(self.x)
        self.decay = network.decay(estimator.alpha, X.shape[0], weight)
        self.scale = network.loss_scale(estimator)
        self.engine = _open(
            estimator, parameters[: self.layers], parameters[self.layers :], X, target, weight, X.shape[0], 0.0, 0.0,
            optimizer="gradient", state=self._pieces(self.gradient),
        )  # fmt: skip

    def _pieces(self, x):
        return [piece.reshape(shape) for piece, shape in zip(np.split(x, self.ends[:-1]), self.shapes, strict=True)]

    def arrays(self, x):
        """(coefs, intercepts), views of x."""
        pieces = network.estimator_arrays(self._pieces(x))
        return pieces[: self.layers], pieces[self.layers :]

    def __call__(self, x):
        self.x[...] = x
        [(loss, _)] = self.engine.epochs(1)
        W = self.x[: self.of_weights]
        gradient = self.gradient.copy()
        gradient[: self.of_weights] += self.decay * W
        return loss * self.scale + self.decay / 2 * float(W @ W), gradient
