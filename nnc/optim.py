"""How a gradient becomes a step: what `nnc.MLP.fit` takes as its `optimizer`.

An optimizer holds its settings and, from its first `fit` on, its state: arrays like the weights and biases, and the
number of steps and epochs. So a second `fit` with the same object goes on where the first one stopped. The C engine
(csrc/kernels/optimizers.inc) takes the steps and changes the state in place.

Pickle and deepcopy keep the state. One optimizer is for one net: arrays that do not fit the net are an error.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Rate = float | Callable[[int], float]

__all__ = ["SGD", "Adam"]


def _between(what, value, high=math.inf):
    """A float from 0 up, below `high`."""
    value = float(value)
    if not 0 <= value < high:
        limit = "a finite number from 0 up" if high == math.inf else f"from 0 up and below {high:g}"
        raise ValueError(f"{what} must be {limit}, not {value}")
    return value


class Optimizer:
    """The base class of the optimizers.

    Attributes
    ----------
    lr : float, or function of the epoch
    steps, epochs : int
        How many this optimizer has done, in all fits.
    state : dict of lists of ndarray
        By name, an array for each W and then one for each b; empty before the first fit.
    """

    _names: tuple[str, ...] = ()  # of the state
    _engine = "sgd"  # its name in the engine

    def __init__(self, lr: Rate) -> None:
        self.lr = lr if callable(lr) else _between(f"{type(self).__name__}: lr", lr)
        self.steps = 0
        self.epochs = 0
        self.state: dict[str, list[NDArray[Any]]] = {}

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0 over all fits."""
        if not callable(self.lr):
            return _between(f"{type(self).__name__}: lr", self.lr)
        return _between(f"{type(self).__name__}: lr({epoch})", self.lr(epoch))

    def reset(self) -> None:
        """Forget the state: the next fit starts afresh."""
        self.steps = self.epochs = 0
        self.state = {}

    def _settings(self):
        """Keyword arguments of the engine's Fit."""
        return {"optimizer": self._engine}

    def _arrays(self, parameters):
        """The state as one list, in the engine's order; zeros before the first fit."""
        if not self.state:
            self.state = {name: [np.zeros_like(p) for p in parameters] for name in self._names}
        kind = type(self).__name__
        if tuple(self.state) != self._names:
            raise ValueError(f"{kind}: its state holds {', '.join(self.state) or 'nothing'}, but must hold "
                             f"{', '.join(self._names) or 'nothing'}; reset() makes a new one")  # fmt: skip
        for name, arrays in self.state.items():
            if [(a.shape, a.dtype) for a in arrays] != [(p.shape, p.dtype) for p in parameters]:
                raise ValueError(
                    f"{kind}: its state is of another net: {name} is of {_shapes(arrays)}, but the net has "
                    f"{_shapes(parameters)}; take a new {kind} for each net, or reset() it"
                )
        return [array for arrays in self.state.values() for array in arrays]

    def __repr__(self) -> str:
        lr = getattr(self.lr, "__name__", repr(self.lr)) if callable(self.lr) else repr(self.lr)
        return f"{type(self).__name__}(lr={lr}{self._text_of_settings()}): {self.steps} steps"

    def _text_of_settings(self):
        return ""


def _shapes(arrays):
    return ", ".join(f"{a.dtype} {a.shape}" for a in arrays)


class SGD(Optimizer):
    """w ← w - lr ∂J/∂w (eqs. 6.3, 6.4), with momentum v ← μ v + ∂J/∂w, w ← w - lr v.

    Parameters
    ----------
    lr : float, or function of the epoch
        The learning rate. A function gets the number of the epoch, from 0 on, and returns that epoch's rate.
    momentum : float
        μ; 0 is plain gradient descent.
    nesterov : bool
        w ← w - lr (∂J/∂w + μ v) instead: approximately the gradient at the point that the velocity leads to. Needs a
        momentum.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Notes
    -----
    The same steps as PyTorch's SGD with the same settings.

    Examples
    --------
    >>> import numpy as np, nnc
    >>> net, X = nnc.MLP([2, 8, 2], seed=0), np.array([[0.0, 0, 1, 1], [0, 1, 0, 1]])
    >>> optimizer = nnc.optim.SGD(lr=lambda epoch: 0.5 / (1 + epoch), momentum=0.9)
    >>> history = net.fit(X, [0, 1, 1, 0], epochs=3, optimizer=optimizer, progress=False)
    >>> optimizer.steps, optimizer.epochs
    (3, 3)
    """

    def __init__(self, lr: Rate, momentum: float = 0.0, nesterov: bool = False) -> None:
        super().__init__(lr)
        self.momentum = _between("SGD: momentum", momentum)
        self.nesterov = bool(nesterov)
        if self.nesterov and self.momentum == 0:
            raise ValueError("SGD: nesterov looks ahead along the velocity; it needs a momentum above 0")
        self._names = ("velocity",) if self.momentum else ()
        self._engine = "nesterov" if self.nesterov else "momentum" if self.momentum else "sgd"

    def _settings(self):
        return {"optimizer": self._engine, "momentum": self.momentum}

    def _text_of_settings(self):
        return (f", momentum={self.momentum}" if self.momentum else "") + (", nesterov=True" if self.nesterov else "")


class Adam(Optimizer):
    """Kingma and Ba's Adam: each parameter's step is scaled by the usual size of its gradient.

    m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g², w ← w - lr m̂ / (√v̂ + ε), with m̂ = m / (1 - β₁ᵗ) and
    v̂ = v / (1 - β₂ᵗ) in step t, since m and v begin at 0 (algorithm 1 of https://arxiv.org/abs/1412.6980).

    Parameters
    ----------
    lr : float, or function of the epoch
    beta1, beta2 : float
        From 0 up and below 1.
    eps : float
        From 0 up and below 1e30. With 0, too, a parameter whose gradient has always been 0 does not move.
    epsilon_hat : bool
        Add eps to √v instead of √v̂, as at the end of the paper's section 2 and in scikit-learn and TensorFlow;
        by default as in PyTorch.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> import numpy as np, nnc
    >>> net, X = nnc.MLP([2, 16, 2], seed=0), np.array([[0.0, 0, 1, 1], [0, 1, 0, 1]])
    >>> optimizer = nnc.optim.Adam(lr=0.01)
    >>> for _ in range(2):  # the second fit goes on with the same m, v and t
    ...     history = net.fit(X, [0, 1, 1, 0], epochs=200, optimizer=optimizer, progress=False)
    >>> optimizer.steps, net.predict(X)
    (400, array([0, 1, 1, 0]))
    """

    _names = ("m", "v")
    _engine = "adam"

    def __init__(
        self,
        lr: Rate = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        *,
        epsilon_hat: bool = False,
    ) -> None:
        super().__init__(lr)
        self.beta1 = _between("Adam: beta1", beta1, 1)
        self.beta2 = _between("Adam: beta2", beta2, 1)
        self.eps = _between("Adam: eps", eps, 1e30)
        self.epsilon_hat = bool(epsilon_hat)

    def _settings(self):
        return {"optimizer": self._engine, "momentum": self.beta1, "beta2": self.beta2, "eps": self.eps,
                "eps_after": self.epsilon_hat}  # fmt: skip

    def _text_of_settings(self):
        return f", beta1={self.beta1}, beta2={self.beta2}, eps={self.eps}"
