"""The step of each solver, as scikit-learn takes it, and the rule by which its learning rate changes.

`update_params` is the step in plain NumPy, line by line. In training the engine takes the same step in one pass over
(param, grad, state), with the numbers and the state of an optimizer that `EngineState` hands over.
"""

import numpy as np


class BaseOptimizer:
    """A constant learning rate."""

    def __init__(self, learning_rate_init=0.1):
        self.learning_rate_init = learning_rate_init
        self.learning_rate = float(learning_rate_init)

    def update_params(self, params, grads):
        """param += its update, in place, for each of the arrays."""
        for param, update in zip(params, self._get_updates(grads), strict=True):
            param += update

    def iteration_ends(self, time_step):
        """After each epoch; `time_step` counts the examples seen so far."""

    def trigger_stopping(self, msg, verbose):
        """Whether no more progress, described by `msg`, ends the training."""
        if verbose:
            print(msg + " Stopping.")
        return True


class SGDOptimizer(BaseOptimizer):
    """v ← μ v - α g, θ ← θ + v; with Nesterov's momentum θ ← θ + μ v - α g, with the new v."""

    def __init__(
        self, params, learning_rate_init=0.1, lr_schedule="constant", momentum=0.9, nesterov=True, power_t=0.5
    ):
        super().__init__(learning_rate_init)
        self.lr_schedule = lr_schedule
        self.momentum = momentum
        self.nesterov = nesterov
        self.power_t = power_t
        self.velocities = [np.zeros_like(param) for param in params]

    def iteration_ends(self, time_step):
        if self.lr_schedule == "invscaling":
            self.learning_rate = float(self.learning_rate_init) / (time_step + 1) ** self.power_t

    def trigger_stopping(self, msg, verbose):
        if self.lr_schedule != "adaptive":
            return super().trigger_stopping(msg, verbose)
        if self.learning_rate <= 1e-6:
            return super().trigger_stopping(msg + " Learning rate too small.", verbose)
        self.learning_rate /= 5
        if verbose:
            print(f"{msg} Setting learning rate to {self.learning_rate:f}")
        return False

    def _get_updates(self, grads):
        def moved(velocities):
            pairs = zip(velocities, grads, strict=True)
            return [self.momentum * velocity - self.learning_rate * grad for velocity, grad in pairs]

        self.velocities = moved(self.velocities)
        return moved(self.velocities) if self.nesterov else self.velocities


class AdamOptimizer(BaseOptimizer):
    """m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g², θ ← θ - αₜ m / (√v + ε), αₜ = α √(1 - β₂ᵗ) / (1 - β₁ᵗ).

    Kingma and Ba, "Adam: a method for stochastic optimization" (2014), in the order of computation that the end of
    their section 2 proposes; their algorithm 1, which `nnc.optim.Adam` follows, adds ε to √(v / (1 - β₂ᵗ)) instead.
    """

    def __init__(self, params, learning_rate_init=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
        super().__init__(learning_rate_init)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.t = 0
        self.ms = [np.zeros_like(param) for param in params]
        self.vs = [np.zeros_like(param) for param in params]

    def count_to(self, t):
        """Set t, the number of steps, and αₜ."""
        self.t = t
        if t > 0:
            self.learning_rate = self.learning_rate_init * np.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)

    def _get_updates(self, grads):
        self.count_to(self.t + 1)
        self.ms = [self.beta_1 * m + (1 - self.beta_1) * g for m, g in zip(self.ms, grads, strict=True)]
        self.vs = [self.beta_2 * v + (1 - self.beta_2) * g**2 for v, g in zip(self.vs, grads, strict=True)]
        return [-self.learning_rate * m / (np.sqrt(v) + self.epsilon) for m, v in zip(self.ms, self.vs, strict=True)]


class EngineState:
    """An optimizer's state in the engine's layout: lists of arrays like the parameters, which the engine changes.

    The engine's velocity is without the learning rate, v ← μ v + g, θ ← θ - α v; so it is rescaled when α changes.
    `to_engine` gives a list of arrays the layout of the engine's parameters, `from_engine` that of coefs.
    """

    def __init__(self, optimizer, to_engine=list, from_engine=list):
        self.optimizer, self.from_engine = optimizer, from_engine
        self.is_adam = isinstance(optimizer, AdamOptimizer)
        if self.is_adam:
            self.name, self.beta1, self.rate = "adam", optimizer.beta_1, optimizer.learning_rate_init
            self.lists = [to_engine(optimizer.ms), to_engine(optimizer.vs)]
        else:
            self.beta1, self.rate = optimizer.momentum, optimizer.learning_rate
            self.name = "sgd" if self.beta1 == 0 else "nesterov" if optimizer.nesterov else "momentum"
            self.lists = [[v / -self.rate for v in to_engine(optimizer.velocities)]] if self.beta1 else []

    def learning_rate(self):
        """That of the next epoch."""
        if not self.is_adam and self.optimizer.learning_rate != self.rate:
            for array in (array for arrays in self.lists for array in arrays):
                array *= self.rate / self.optimizer.learning_rate
            self.rate = self.optimizer.learning_rate
        return self.rate

    def close(self, steps):
        """Write the state back into the optimizer, after `steps` steps in all."""
        if self.is_adam:
            self.optimizer.ms, self.optimizer.vs = map(self.from_engine, self.lists)
            self.optimizer.count_to(steps)
        for arrays in () if self.is_adam else self.lists:
            self.optimizer.velocities = [v * -self.rate for v in self.from_engine(arrays)]
