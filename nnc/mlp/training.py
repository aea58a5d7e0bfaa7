"""The loop over the epochs. The engine runs an epoch; here is what happens between two of them."""

import math
import warnings

import numpy as np

from .. import _engine
from ..optim import SGD, Optimizer
from .arguments import (
    as_examples,
    as_weights,
    at_least_one,
    check_any_positive,
    number,
    whole,
    with_contiguous_examples,
)
from .distributed import ALONE

_CHUNK = 16384  # examples evaluated at a time, to bound the memory


class History:
    """What `MLP.fit` returns: a number for each epoch.

    Attributes
    ----------
    loss : list of float
        The mean loss of the examples as they were seen, while the weights were still changing.
    accuracy : list of float
        On the validation examples, after the epoch; empty without them, and where the loss has no classes.
    validation_loss : list of float
        The mean loss on them; empty without validation examples.
    seconds : list of float
        The time spent training, without the validation.
    """

    def __init__(self) -> None:
        self.loss: list[float] = []
        self.accuracy: list[float] = []
        self.validation_loss: list[float] = []
        self.seconds: list[float] = []

    def last(self) -> str:
        """The last epoch in a few words."""
        accuracy = f", accuracy {self.accuracy[-1]:.4f}" if self.accuracy else ""
        if not accuracy and self.validation_loss:
            accuracy = f", validation loss {self.validation_loss[-1]:.4f}"
        return f"loss {self.loss[-1]:.4f}{accuracy}"

    def __repr__(self) -> str:
        epochs = len(self.loss)
        parts = [f"{epochs} epoch" + ("s" if epochs != 1 else "")]
        if self.loss:
            parts.append(f"loss {self.loss[0]:.4g} → {self.loss[-1]:.4g}")
        if self.accuracy:
            best = int(np.argmax(self.accuracy))
            parts.append(f"accuracy {self.accuracy[-1]:.4f}, best {self.accuracy[best]:.4f} in epoch {best}")
        parts.append(f"{sum(self.seconds):.3g} s")
        return f"History({', '.join(parts)})"


def open_engine(net, X, y, batch_size, optimizer, lr, *, weight_decay=0.0, sample_weight=None, shuffle=False, seed=0,
                decay_is_shared=False, penalty=False, **of_ranks):
    """The engine's training of a net: `epochs(count, lr, order)`, each of them a list of (loss, seconds); `.steps`.

    X, y and sample_weight come from `as_examples`, the loss's `checked_targets` and `as_weights`. `decay_is_shared`
    divides the weight decay of a batch by the sum of its weights, as the loss is; with `penalty`, `.penalty` is what
    the decay added to the mean loss of the last epoch. `of_ranks` comes from the ranks' `engine_options`.
    """  # fmt: skip
    settings = optimizer._settings()
    state = optimizer._arrays([*net.weights, *net.biases]) or None
    return _engine.Fit(
        net.weights, net.biases, net.activations, net.slope, net.mean, net.std, with_contiguous_examples(X), y,
        batch_size, lr, settings.pop("momentum", 0.0), bool(shuffle), seed, loss=net.loss_name,
        sample_weight=sample_weight, weight_decay=weight_decay, decay_is_shared=decay_is_shared, penalty=penalty,
        state=state, steps=optimizer.steps, **settings, **of_ranks,
    )  # fmt: skip


def fit(net, ranks, X, y, epochs, batch_size, lr, momentum, validation, shuffle, seed, progress, callback, keep_best,
        optimizer, weight_decay, sample_weight, patience):  # fmt: skip
    """`MLP.fit`, with the net locked. Everything that may fail on one of the ranks goes through `ranks.together`."""

    def check():
        nonlocal X, y, epochs, batch_size, optimizer, weight_decay, sample_weight, validation, patience
        net._parameters("fit")
        X = as_examples("fit", X, net.sizes[0], net.dtype)
        y = net._loss.checked_targets("fit", y, net.sizes[-1], X.shape[1], net.dtype)
        sample_weight = as_weights("fit", sample_weight, X.shape[1], net.dtype, is_complete=not ranks.shared)
        epochs = whole("fit", "epochs", epochs, 0)
        batch_size = whole("fit", "batch_size", batch_size, 1)
        weight_decay = number("fit", "weight_decay", weight_decay, at_least=0)
        optimizer = _checked_optimizer(optimizer, lr, momentum)
        validation = _checked_validation(net, validation)
        if keep_best and not validation:
            raise ValueError("fit: keep_best chooses by the validation examples; it needs validation=(X, y)")
        if patience is not None:
            patience = whole("fit", "patience", patience, 1)
            if not validation:
                raise ValueError("fit: patience waits for a better validation loss; it needs validation=(X, y)")
        rng = net._rng if seed is None else np.random.default_rng(seed)
        order = int(rng.integers(2**64, dtype=np.uint64)) if shuffle else 0
        return optimizer.rate(optimizer.epochs), order

    parameters = [*net.weights, *net.biases]
    first_rate, order = ranks.together(check)
    if ranks.shared:
        ranks.agree(_settings(net, optimizer) | {
            "epochs": epochs, "batch_size": batch_size, "weight_decay": weight_decay, "shuffle": bool(shuffle),
            "keep_best": bool(keep_best), "patience": patience, "validation": validation is not None,
            "sample_weight": sample_weight is not None,
        })  # fmt: skip
    first_rate, order = ranks.gather((first_rate, order))[0]
    shares = ranks.gather((X.shape[1], validation[0].shape[1] if validation else 1, callback is not None))
    first, total = sum(r for r, _, _ in shares[: ranks.rank]), sum(r for r, _, _ in shares)
    sample_weight = ranks.joined(sample_weight)

    def check_all():
        if total == 0:
            at_least_one("fit", X)
        if sum(r for _, r, _ in shares) == 0:
            at_least_one("fit", validation[0], "validation X")
        if sample_weight is not None:
            check_any_positive("fit", sample_weight)

    ranks.together(check_all)
    engine = ranks.together(lambda: open_engine(
        net, X, y, min(batch_size, total), optimizer, first_rate, weight_decay=weight_decay,
        sample_weight=sample_weight, shuffle=shuffle, seed=order, **ranks.engine_options(parameters, first, total),
    ))  # fmt: skip

    history = History()
    best = _Best(parameters, keep_best)
    bar = _progress_bar(epochs) if progress and ranks.rank == 0 else None
    calls_back = any(called for _, _, called in shares)
    one_by_one = bool(validation or progress or calls_back or ranks.shared) or callable(optimizer.lr)
    try:
        for epoch, (loss, seconds) in enumerate(_epochs(ranks, engine, epochs, one_by_one, optimizer, parameters)):
            history.loss.append(loss)
            history.seconds.append(seconds)
            if not math.isfinite(loss) and all(map(math.isfinite, history.loss[-2:-1])):  # the first such
                ranks.together(lambda loss=loss, epoch=epoch: _warn_not_finite(X, loss, epoch))
            if validation:
                validation_loss, accuracy = evaluate(net, *validation, ranks=ranks)
                history.validation_loss.append(validation_loss)
                if accuracy is not None:
                    history.accuracy.append(accuracy)
                best.update(epoch, validation_loss, accuracy)
            if bar is not None:
                bar.set_postfix_str(history.last())
                bar.update()
            if calls_back and _should_stop(net, ranks, callback, epoch, history, parameters):
                break
            if patience is not None and epoch - best.epoch_of_loss >= patience:
                break
    finally:
        optimizer.steps = engine.steps
        best.restore()
        if bar is not None:
            bar.close()
    return history


def loss_and_gradient(net, X, y, sample_weight):
    """`MLP.loss_and_gradient`: one batch of all examples, and no step."""
    weights, biases = net._parameters("loss_and_gradient")
    X = as_examples("loss_and_gradient", X, net.sizes[0], net.dtype)
    at_least_one("loss_and_gradient", X)
    y = net._loss.checked_targets("loss_and_gradient", y, net.sizes[-1], X.shape[1], net.dtype)
    sample_weight = as_weights("loss_and_gradient", sample_weight, X.shape[1], net.dtype)
    gradient = Gradient()
    engine = open_engine(net, X, y, X.shape[1], gradient, 0.0, sample_weight=sample_weight)
    [(J, _)] = engine.epochs(1)
    arrays = gradient.state["gradient"]
    return J, arrays[: len(weights)], arrays[len(weights) :]


class Gradient(Optimizer):
    """Takes no step: the engine writes the gradient into its state."""

    _names = ("gradient",)
    _engine = "gradient"

    def __init__(self) -> None:
        super().__init__(0.0)


class _Best:
    """The best epoch so far, and its weights if they are to be restored."""

    def __init__(self, parameters, keep):
        self.parameters, self.keep, self.saved = parameters, keep, None
        self.score = self.least_loss = math.inf
        self.epoch_of_loss = -1

    def update(self, epoch, loss, accuracy):
        if loss < self.least_loss:
            self.least_loss, self.epoch_of_loss = loss, epoch
        score = loss if accuracy is None else -accuracy
        if self.keep and score < self.score and all(np.isfinite(array).all() for array in self.parameters):
            self.score, self.saved = score, [array.copy() for array in self.parameters]

    def restore(self):
        for array, saved in zip(self.parameters, self.saved or (), strict=bool(self.saved)):
            array[...] = saved


def _checked_optimizer(optimizer, lr, momentum):
    if optimizer is None:
        momentum = number("fit", "momentum", momentum, at_least=0)
        return _SGDOfFit(lr if callable(lr) else number("fit", "lr", lr, at_least=0), momentum)
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"fit: optimizer must be one of nnc.optim, such as nnc.optim.Adam(), not {optimizer!r}")
    if lr != 0.1 or momentum != 0:
        raise ValueError(f"fit: lr and momentum are those of the optimizer: nnc.optim.{type(optimizer).__name__}(lr=…)")
    return optimizer


class _SGDOfFit(SGD):
    """The lr and momentum of `fit` itself: the engine allocates the velocity, which lasts for one fit."""

    def _arrays(self, parameters):
        return []


def _settings(net, optimizer):
    """What the ranks of a training must have in common, by the names that a message uses."""
    rate = None if callable(optimizer.lr) else optimizer.lr  # of a function, rank 0's value is used in each epoch
    return {"sizes": net.sizes, "activation": net.activations, "loss": net.loss_name, "dtype": net.dtype.name,
            "slope": net.slope, "mean": net.mean.tolist(), "std": net.std.tolist(),
            "optimizer": type(optimizer).__name__, "lr": rate, "optimizer.steps": optimizer.steps,
            "optimizer.epochs": optimizer.epochs,
            **{f"the optimizer's {name}": value for name, value in optimizer._settings().items()}}  # fmt: skip


def _epochs(ranks, engine, epochs, one_by_one, optimizer, parameters):
    """(loss, seconds) of each epoch as it ends; unless `one_by_one`, the engine runs all of them in one call."""
    done = 0
    state = [array for arrays in optimizer.state.values() for array in arrays]
    ranks.share_arrays([*parameters, *state])
    while done < epochs:
        lr = None
        if callable(optimizer.lr):
            lr = ranks.gather(ranks.together(lambda: optimizer.rate(optimizer.epochs)))[0]
        ended = ranks.together(lambda lr=lr, done=done: engine.epochs(1 if one_by_one else epochs - done, lr))
        if ranks.shared:
            losses, seconds = zip(*(epoch for [epoch] in ranks.gather(ended)), strict=True)
            ended = [(sum(losses), max(seconds))]
            ranks.share_arrays([*parameters, *state])
        optimizer.epochs += len(ended)
        yield from ended
        done += len(ended)


def _should_stop(net, ranks, callback, epoch, history, parameters):
    """Whether a rank's callback stops the training. Only True does: many callbacks return something else without
    meaning to stop it.
    """

    def call():
        stop = callback(epoch, history) if callback is not None else False
        _check_not_replaced(net, parameters)
        return isinstance(stop, (bool, np.bool_)) and bool(stop)

    return any(ranks.gather(ranks.together(call)))


def evaluate(net, X, y, sample_weight=None, ranks=ALONE):
    """(mean loss, accuracy or None where there are no classes) over the examples of all ranks, both from one pass."""
    mine = ranks.together(lambda: _totals(net, X, y, sample_weight))
    loss, right, weight, r = map(sum, zip(*ranks.gather(mine), strict=True))
    return loss / weight, None if net._loss.classes == "none" else right / r


def _totals(net, X, y, sample_weight):
    """The sum of the losses, the number of right predictions, the sum of the weights, the number of examples."""
    row, r, right, total = net._loss, X.shape[1], 0, 0.0
    for start in range(0, r, _CHUNK):
        some = slice(start, start + _CHUNK)
        Z = scores(net, X[:, some])
        L = row.loss(Z, y[..., some])
        total += float(L.sum(dtype=np.float64) if sample_weight is None else L @ sample_weight[some].astype(np.float64))
        if row.classes != "none":
            right += round(row.accuracy("fit", row.output(Z), y[..., some]) * Z.shape[1])
    return total, right, r if sample_weight is None else float(sample_weight.sum(dtype=np.float64)), r


def scores(net, X):
    """The last layer's Z, from the engine."""
    return _engine.predict(net.weights, net.biases, net.activations, net.slope, net.mean, net.std, X, None)


def _warn_not_finite(X, loss, epoch):
    """The net learns nothing from here on, which the history alone would show."""
    bad = None if X.dtype.kind in "biu" else np.argwhere(~np.isfinite(X))
    if bad is not None and len(bad):
        i, j = map(int, bad[0])
        why = f"X[{i}, {j}] is {X[i, j]}; all of X must be finite"
    else:
        why = "the steps are too large for these X and weights; normalise X (mean=, std=) or lower lr"
    warnings.warn(f"fit: the loss of epoch {epoch + 1} is {loss}: {why}", RuntimeWarning, stacklevel=6)


def _checked_validation(net, validation):
    if validation is None:
        return None
    try:
        X, y = validation
    except (TypeError, ValueError):
        raise ValueError("fit: validation must be a pair (X, y)") from None
    X = as_examples("fit", X, net.sizes[0], net.dtype, "validation X")
    return X, net._loss.checked_targets("fit, validation", y, net.sizes[-1], X.shape[1], net.dtype)


def _progress_bar(epochs):
    from tqdm.auto import tqdm

    return tqdm(total=epochs, unit="epoch")


def _check_not_replaced(net, parameters):
    """The engine trains the arrays that it was given; another one in their place would silently not be trained."""
    if list(map(id, (*net.weights, *net.biases))) != list(map(id, parameters)):
        raise ValueError("fit: the callback replaced an array; write into it instead, as in net.weights[0][...] = W")
