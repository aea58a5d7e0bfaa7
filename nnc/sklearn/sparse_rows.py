"""Training on sparse examples, CSR rows: they never become dense."""

import numpy as np

from .. import _engine
from . import network
from .optimizers import EngineState

_ROWS = 256  # in each of the engine's sums of squares


class Epochs:
    """sgd and adam. Here the coefs are in C order: the weights of one input are contiguous."""

    def __init__(self, estimator, X, target, weight, batch_size):
        self.estimator, self.X, self.batch_size = estimator, X, batch_size
        dtype = estimator.coefs_[0].dtype
        estimator.coefs_ = _contiguous(estimator.coefs_)
        self.target = target if target.ndim == 1 else target.astype(dtype)
        self.weight = None if weight is None else weight.astype(dtype)
        self.scale = network.loss_scale(estimator)
        self.state = EngineState(estimator._optimizer, _contiguous)
        self.steps = getattr(estimator._optimizer, "t", 0)
        self.squares = [np.zeros(len(coef) // _ROWS + 1) for coef in estimator.coefs_]

    def run(self, order):
        """One epoch over the examples in this order; the mean loss of its batches."""
        rate, total = self.state.learning_rate(), 0.0
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            total += self._step(batch, rate) * len(batch)
        return total / len(order)

    def _step(self, batch, rate):
        """One step, and the batch's loss before it."""
        net = self.estimator
        weight = None if self.weight is None else self.weight[batch]
        J, dW, db = network.sparse_loss_and_gradient(
            self.X[batch], self.target[batch].T, weight, net.coefs_, net.intercepts_, net.activation,
            net.out_activation_,
        )  # fmt: skip
        decay = network.decay(net.alpha, len(batch), weight)
        self.steps += 1
        for layer, (coef, gradient) in enumerate(zip(net.coefs_, dW, strict=True)):
            which, rows = gradient if layer == 0 else (np.arange(len(coef)), gradient)
            self._update(layer, coef, which, rows, rate, decay, self.squares[layer])
        for layer, (intercept, gradient) in enumerate(zip(net.intercepts_, db, strict=True)):
            which, rows = np.zeros(1, np.intp), gradient.reshape(1, -1)
            self._update(len(dW) + layer, intercept.reshape(1, -1), which, rows, rate, 0.0, np.zeros(1))
        return J * self.scale + decay / 2 * sum(squares.sum() for squares in self.squares)

    def _update(self, index, array, which, rows, rate, decay, squares):
        """The step of parameter number `index`, given the rows `which` of its gradient; the others are zero."""
        state, optimizer = self.state, self.state.optimizer
        numbers = (rate, decay, state.beta1, 0.0, 1.0, 1.0, 0.0, False)
        if state.is_adam:
            corrections = 1 - optimizer.beta_1**self.steps, 1 - optimizer.beta_2**self.steps
            numbers = (rate, decay, state.beta1, optimizer.beta_2, *corrections, optimizer.epsilon, True)
        states = [arrays[index].reshape(array.shape) for arrays in state.lists]
        states += [None] * (2 - len(states))
        _engine.step_rows(state.name, array, *states, which, np.ascontiguousarray(rows), squares, numbers)

    def close(self):
        self.state.close(self.steps)


def _contiguous(arrays):
    return [np.ascontiguousarray(array) for array in arrays]


class WholeLoss:
    """J and its gradient over all examples as functions of one vector: all coefs, then all intercepts."""

    def __init__(self, estimator, X, target, weight):
        self.estimator, self.X = estimator, X
        arrays = [*estimator.coefs_, *estimator.intercepts_]
        self.shapes = [array.shape for array in arrays]
        self.layers = len(estimator.coefs_)
        self.ends = np.cumsum([array.size for array in arrays])
        self.start = np.concatenate([array.ravel() for array in arrays])
        self.target = target.T if target.ndim == 1 else target.astype(self.start.dtype).T
        self.weight = None if weight is None else weight.astype(self.start.dtype)
        self.decay = network.decay(estimator.alpha, X.shape[0], self.weight)
        self.scale = network.loss_scale(estimator)

    def arrays(self, x):
        """(coefs, intercepts), views of x."""
        pieces = zip(np.split(x, self.ends[:-1]), self.shapes, strict=True)
        arrays = [piece.reshape(shape) for piece, shape in pieces]
        return arrays[: self.layers], arrays[self.layers :]

    def __call__(self, x):
        coefs, intercepts = self.arrays(x)
        J, dW, db = network.sparse_loss_and_gradient(
            self.X, self.target, self.weight, coefs, intercepts, self.estimator.activation,
            self.estimator.out_activation_,
        )  # fmt: skip
        W = x[: self.ends[self.layers - 1]]
        gradient = np.empty_like(x)
        gradient[: len(W)] = self.decay * W
        of_coefs, of_intercepts = self.arrays(gradient)
        inputs, rows = dW[0]
        of_coefs[0][inputs] += rows
        for array, g in zip(of_coefs[1:], dW[1:], strict=True):
            array += g
        for array, g in zip(of_intercepts, db, strict=True):
            array[...] = g
        return J * self.scale + self.decay / 2 * float(W @ W), gradient
