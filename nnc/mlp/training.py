"""The loop over the epochs. What happens within an epoch is the engine's; here is what happens between two of them."""

import math
import warnings

import numpy as np

from .. import _engine
from .. import functional as F
from .arguments import as_examples, as_truth, at_least_one, gathered, number, whole


class History:
    """What a training leaves behind, a number for each epoch.

    Attributes
    ----------
    loss : list of float
        The mean loss of the examples as they were seen, so under weights that were still changing.
    accuracy : list of float
        On the validation examples, after the epoch; empty without them.
    seconds : list of float
        The time spent training, without the validation.
    """

    def __init__(self) -> None:
        self.loss: list[float] = []
        self.accuracy: list[float] = []
        self.seconds: list[float] = []

    def last(self) -> str:
        """The last epoch in a few words."""
        accuracy = f", accuracy {self.accuracy[-1]:.4f}" if self.accuracy else ""
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


def fit(net, X, y, epochs, batch_size, lr, momentum, validation, shuffle, seed, progress, callback, keep_best):
    """`MLP.fit`, with the net locked."""
    weights, biases = net._parameters("fit")
    parameters = [*weights, *biases]
    X = as_examples("fit", X, net.sizes[0], net.dtype)
    at_least_one("fit", X)
    y = as_truth("fit", y, net.sizes[-1], X.shape[1], net.dtype)
    epochs = whole("fit", "epochs", epochs, 0)
    batch_size = whole("fit", "batch_size", batch_size, 1)
    lr = number("fit", "lr", lr, at_least=0)
    momentum = number("fit", "momentum", momentum, at_least=0)
    validation = _checked_validation(net, validation)
    if keep_best and not validation:
        raise ValueError("fit: keep_best chooses by the validation accuracy; it needs validation=(X, y)")
    rng = net._rng if seed is None else np.random.default_rng(seed)
    order = int(rng.integers(2**64, dtype=np.uint64)) if shuffle else 0
    engine = _engine.Fit(
        weights, biases, net.activations, net.slope, net.mean, net.std,
        gathered(X), y, min(batch_size, X.shape[1]), lr, momentum, bool(shuffle), order,
    )  # fmt: skip

    history = History()
    best_accuracy, best = -1.0, None
    bar = _progress_bar(epochs) if progress else None
    watched = bool(validation or progress) or callback is not None
    try:
        for epoch, (loss, seconds) in enumerate(_trained(engine, epochs, watched)):
            history.loss.append(loss)
            history.seconds.append(seconds)
            if not math.isfinite(loss) and all(map(math.isfinite, history.loss[-2:-1])):  # the first such
                _warn_of_lost_numbers(X, loss, epoch)
            if validation:
                history.accuracy.append(_accuracy(net, *validation))
                if keep_best and history.accuracy[-1] > best_accuracy:
                    best_accuracy, best = history.accuracy[-1], [array.copy() for array in parameters]
            if bar is not None:
                bar.set_postfix_str(history.last())
                bar.update()
            if callback is not None:
                # Only True itself stops: a callback that happens to return something else meant nothing by it.
                stop = callback(epoch, history)
                _unreplaced(net, parameters)
                if isinstance(stop, (bool, np.bool_)) and stop:
                    break
    finally:
        if best is not None:
            for array, kept in zip(parameters, best, strict=True):
                array[...] = kept
        if bar is not None:
            bar.close()
    return history


def _trained(engine, epochs, watched):
    """(loss, seconds) of each epoch as it ends; if nobody watches, the engine runs some of them in one go."""
    done = 0
    while done < epochs:
        ended = engine.epochs(1 if watched else epochs - done)
        yield from ended
        done += len(ended)


def _warn_of_lost_numbers(X, loss, epoch):
    """Nothing is learned any more, and the history shows it, but perhaps nobody looks."""
    bad = None if X.dtype.kind in "biu" else np.argwhere(~np.isfinite(X))
    if bad is not None and len(bad):
        i, j = map(int, bad[0])
        why = f"X[{i}, {j}] is {X[i, j]}; all of X must be finite"
    else:
        why = "the steps are too large for these X and weights; normalise X (mean=, std=) or lower lr"
    warnings.warn(f"fit: the loss of epoch {epoch + 1} is {loss}: {why}", RuntimeWarning, stacklevel=4)


def _checked_validation(net, validation):
    if validation is None:
        return None
    try:
        X, y = validation
    except (TypeError, ValueError):
        raise ValueError("fit: validation must be a pair (X, y)") from None
    X = as_examples("fit", X, net.sizes[0], net.dtype, "validation X")
    at_least_one("fit", X, "validation X")
    return X, as_truth("fit, validation", y, net.sizes[-1], X.shape[1], net.dtype)


def _accuracy(net, X, y):
    P = _engine.predict(net.weights, net.biases, net.activations, net.slope, net.mean, net.std, X)
    return F.accuracy(P, y)


def _progress_bar(epochs):
    from tqdm.auto import tqdm

    return tqdm(total=epochs, unit="epoch")


def _unreplaced(net, parameters):
    """The engine trains the arrays that it was given; another one put in their place would silently stay behind."""
    if list(map(id, (*net.weights, *net.biases))) != list(map(id, parameters)):
        raise ValueError("fit: the callback replaced an array; write into it instead, as in net.weights[0][...] = W")
