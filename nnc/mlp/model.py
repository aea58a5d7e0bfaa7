"""A net of dense layers, as derived: Z = W X + b, an activation, ..., an output; its cost is the mean of a loss.

`forward` and `backward` are the derivation line by line, made of the primitives, and keep every intermediate result.
`fit` and `predict` do the same arithmetic in the C engine, whole epochs at a time, and keep nothing.
"""

from __future__ import annotations

import os
import threading
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import _engine
from .. import functional as F
from . import arguments, distributed, storage, training
from .arguments import as_examples, as_weights, at_least_one
from .losses import LOSSES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from ..optim import Optimizer

    Seed = int | np.random.Generator | None


def _activation(name):
    """(A from Z, dZ from dA and A) by the primitives of that name; `slope` is for those that take a number."""
    if name == "identity":
        return lambda Z, slope: Z, lambda dA, A, slope: dA
    forward, backward = getattr(F, name), getattr(F, f"{name}_backward")
    if getattr(_engine, name).nin == 2:
        return forward, backward
    return lambda Z, slope: forward(Z), lambda dA, A, slope: backward(dA, A)


_ACTIVATIONS = {name: _activation(name) for name in _engine.ACTIVATIONS}


def _shapes(arrays):
    return "[" + ", ".join(str(a.shape) for a in arrays) + "]"


class Forward(NamedTuple):
    """What `MLP.forward` computed: X (m, r) after mean and std; Z[0] is z¹, A[0] is a¹; P (n, r), the output."""

    X: NDArray[Any]
    Z: list[NDArray[Any]]
    A: list[NDArray[Any]]
    P: NDArray[Any]

    def __repr__(self) -> str:
        return f"Forward(X {self.X.shape}, Z {_shapes(self.Z)}, A {_shapes(self.A)}, P {self.P.shape})"


class Gradients(NamedTuple):
    """What `MLP.backward` computed: the gradients of J, the mean loss; dW[0] is ∂J/∂W¹, dA[0] is ∂J/∂a¹."""

    dW: list[NDArray[Any]]
    db: list[NDArray[Any]]
    dZ: list[NDArray[Any]]
    dA: list[NDArray[Any]]

    def __repr__(self) -> str:
        return "Gradients(" + ", ".join(f"{name} {_shapes(arrays)}" for name, arrays in self._asdict().items()) + ")"


class MLP:
    """A net of dense layers (a multilayer perceptron); the output is a softmax, or another function with another loss.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden layers, outputs: ``[784, 200, 10]``. With two numbers there is no hidden layer.
    activation : str or sequence of str
        'relu', 'leaky_relu', 'sigmoid', 'tanh' or 'identity', for all hidden layers or one for each of them.
    init : str or callable
        'kaiming', 'xavier', 'normal' or 'uniform' (see `nnc.init`), or a function ``init(n, m)`` that returns W (n, m).
        Biases start at 0.
    dtype : float32 or float64
        Of the weights, and of everything computed with them.
    seed : int, numpy.random.Generator or None
        Of the net's own generator: it draws the weights here and, later, the order of the examples in `fit`.
        The same seed gives the same weights, bit for bit.
    slope : float
        Of leaky_relu, where Z < 0.
    mean, std : float, or array (m, 1) or (m,)
        Every X is normalised on its way in, (X - mean) / std (eq. 17.3): one pair of numbers, or one for each input.
    loss : str
        What the net is trained on, which decides its output P and what y is:

        - 'cross_entropy': one of n classes. P = softmax(Z), y labels (r,) or targets (n, r) that sum to 1.
        - 'binary_cross_entropy': n outputs, each a binary label. P = sigmoid(Z), y (n, r) from 0 to 1.
        - 'squared_error': a regression, L = ½ Σ (P - y)². P = Z, y (n, r).
        - 'poisson': a regression of counts, L half the Poisson deviance. P = e^Z, y (n, r) from 0 up.

        Where n is 1, y may also be (r,).

    Attributes
    ----------
    weights, biases : list of ndarray
        The live arrays, W (n, m) and b (n, 1) of each layer; writing into one changes the net:
        ``net.weights[0][...] = W``.
    sizes, activations : tuple
    loss_name : str
    dtype : numpy.dtype
    slope : float
    mean, std : ndarray, (1, 1) or (m, 1)

    Raises
    ------
    TypeError, ValueError
        For any other argument; the message says what it must be.

    Examples
    --------
    >>> import numpy as np, nnc
    >>> X = np.array([[0.0, 0, 1, 1], [0, 1, 0, 1]])  # (2, 4): four examples, a column each
    >>> y = np.array([0, 1, 1, 0])
    >>> net = nnc.MLP([2, 16, 2], activation="tanh", init="xavier", seed=0)
    >>> history = net.fit(X, y, epochs=1000, lr=0.5, progress=False)
    >>> net.predict(X)
    array([0, 1, 1, 0])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str | Sequence[str] = "relu",
        init: str | Callable[[int, int], ArrayLike] = "kaiming",
        dtype: DTypeLike = np.float32,
        seed: Seed = None,
        slope: float = 0.01,
        mean: ArrayLike = 0.0,
        std: ArrayLike = 1.0,
        loss: str = "cross_entropy",
    ) -> None:
        self.sizes = arguments.sizes(sizes)
        self.activations = arguments.activations(activation, len(self.sizes) - 2, tuple(_ACTIVATIONS))
        self.dtype = arguments.real_dtype(dtype)
        self.loss_name = arguments.loss(loss, tuple(LOSSES))
        self.slope = arguments.number("MLP", "slope", slope, at_least=0)
        self.mean = arguments.scale("mean", mean, self.sizes[0], self.dtype)
        self.std = arguments.scale("std", std, self.sizes[0], self.dtype)
        if not (self.std > 0).all():
            raise ValueError("MLP: std must be above 0, X is divided by it; give an input that never changes std 1")
        self._rng = np.random.default_rng(seed)
        self._new_lock()
        draw = arguments.initializer(init, self._rng)
        self.weights = [arguments.initial("MLP", draw(n, m), (n, m), self.dtype) for m, n in pairwise(self.sizes)]
        self.biases = [np.zeros((n, 1), self.dtype) for n in self.sizes[1:]]

    # ---- line by line ------------------------------------------------------------------------------------------------

    def forward(self, X: ArrayLike) -> Forward:
        """Scores, activations and probabilities of every layer, as derived (section 10 of the notes).

        Parameters
        ----------
        X : array_like, (m, r), real
            A column for each example.

        Returns
        -------
        t : Forward
            ``t.X`` (m, r) after mean and std, ``t.Z`` the scores of each layer, ``t.A`` the outputs of the hidden
            layers, ``t.P`` (n, r) the output: the softmax of the last Z, or the output function of another loss. All in
            the net's dtype.

        Raises
        ------
        TypeError, ValueError
            If X is not real, or not (m, r).

        Examples
        --------
        >>> import numpy as np, nnc
        >>> net = nnc.MLP([3, 4, 2], seed=0)
        >>> net.forward(np.ones((3, 5)))
        Forward(X (3, 5), Z [(4, 5), (2, 5)], A [(4, 5)], P (2, 5))
        """
        weights, biases = self._parameters("forward")
        X = self._normalized(as_examples("forward", X, self.sizes[0], self.dtype))
        Z, A = [F.linear(weights[0], X, biases[0])], []
        for activation, W, b in zip(self.activations, weights[1:], biases[1:], strict=True):
            A.append(_ACTIVATIONS[activation][0](Z[-1], self.slope))
            Z.append(F.linear(W, A[-1], b))
        return Forward(X, Z, A, self._loss.output(Z[-1]))

    def backward(self, t: Forward, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Gradients:
        """Gradients of the mean loss J with respect to every W, b, Z and A (section 10 of the notes).

        Parameters
        ----------
        t : Forward
            What `forward` returned; the weights must not have changed since.
        y : array_like
            Labels (r,), whole numbers below n, or one-hot or soft targets (n, r); of other losses numbers (n, r).
        sample_weight : array_like, (r,), optional
            What each example counts: J = Σ w L / Σ w.

        Returns
        -------
        g : Gradients
            ``g.dW g.db g.dZ g.dA``, numbered as in t: ``g.dW[0]`` is ∂J/∂W¹, ``g.dA[0]`` is ∂J/∂a¹.

        Raises
        ------
        ValueError
            If y does not fit t.P, or t holds no example or is of another net.

        Examples
        --------
        >>> import numpy as np, nnc
        >>> net = nnc.MLP([3, 4, 2], seed=0)
        >>> t = net.forward(np.ones((3, 5)))
        >>> net.backward(t, [0, 1, 1, 0, 1])
        Gradients(dW [(4, 3), (2, 4)], db [(4, 1), (2, 1)], dZ [(4, 5), (2, 5)], dA [(4, 5)])
        """
        weights, _ = self._parameters("backward")
        if tuple(map(len, (t.X, *t.Z))) != self.sizes:
            raise ValueError(f"backward: t is of another net: its Z are {_shapes(t.Z)}, but sizes are {self.sizes}")
        at_least_one("backward", t.X, "t.X")
        y = self._loss.checked_targets("backward", y, *t.P.shape, self.dtype)
        weights_of_examples = as_weights("backward", sample_weight, t.X.shape[1], self.dtype)
        inputs = [t.X, *t.A]  # of each layer: X instead of a⁰
        dL = 1 / t.X.shape[1]  # J is the mean of the losses: the one place where r divides
        if sample_weight is not None:
            dL = weights_of_examples / weights_of_examples.sum(dtype=np.float64)
        dZ = [self._loss.backward(dL, t.P, y)]
        dW, db, dA = [], [], []
        for layer in reversed(range(len(weights))):  # appended from the last layer on, and reversed at the end
            dW.append(F.matmul(dZ[-1], inputs[layer].T))
            db.append(F.add_bias_backward(dZ[-1])[1])
            if layer > 0:
                dA.append(F.matmul(weights[layer].T, dZ[-1]))
                dZ.append(_ACTIVATIONS[self.activations[layer - 1]][1](dA[-1], inputs[layer], self.slope))
        return Gradients(dW[::-1], db[::-1], dZ[::-1], dA[::-1])

    # ---- at full speed -----------------------------------------------------------------------------------------------

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        epochs: int = 10,
        batch_size: int = 64,
        lr: float | Callable[[int], float] = 0.1,
        momentum: float = 0.0,
        validation: tuple[ArrayLike, ArrayLike] | None = None,
        shuffle: bool = True,
        seed: Seed = None,
        progress: bool = True,
        callback: Callable[[int, training.History], object] | None = None,
        keep_best: bool = False,
        optimizer: Optimizer | None = None,
        weight_decay: float = 0.0,
        sample_weight: ArrayLike | None = None,
        patience: int | None = None,
        comm: Any = None,
    ) -> training.History:
        """Train: for each epoch, for each batch, W ← W - lr ∂J/∂W and b ← b - lr ∂J/∂b (eqs. 6.3, 6.4).

        A whole epoch is one call of the C engine, without Python's lock, on `nnc.get_num_threads` threads;
        the result is the same, bit for bit, for any number of them.

        Parameters
        ----------
        X : array_like, (m, r), real
            uint8, float32 and float64 are read where they are, whatever the strides: an (r, m) array of images goes in
            as ``images.T``. Where the inputs of one example lie far apart, as in a C-ordered (m, r), one copy is made.
        y : array_like
            Labels (r,), whole numbers below n, or one-hot or soft targets (n, r); of other losses numbers (n, r), and
            (r,) where n is 1.
        epochs, batch_size : int
            The last batch of an epoch may be smaller; it is averaged over its own size.
        lr : float, or function of the epoch
            The learning rate, α in the notes; a function gets the number of the epoch, from 0 on.
        momentum : float
            μ in v ← μ v + ∂J/∂W, W ← W - lr v; v starts at 0 in every fit.
        validation : tuple (X, y), optional
            Examples that are not trained on; their loss and accuracy are measured after each epoch.
        shuffle : bool
            Take the examples in a new random order in each epoch.
        seed : int, numpy.random.Generator or None
            Of that order. None goes on with the net's own generator.
        progress : bool
            Show a progress bar (tqdm).
        callback : callable, optional
            ``callback(epoch, history)`` after each epoch, counted from 0; where it returns True the training stops.
        keep_best : bool
            At the end, restore the weights of the best epoch: the first of those with the highest validation
            accuracy (the notes' *optimal W, b*), or the lowest validation loss where the loss has no classes; also
            when the training was stopped or interrupted.
        optimizer : nnc.optim.SGD or nnc.optim.Adam, optional
            How a gradient becomes a step, instead of `lr` and `momentum`. It holds its own state: a second fit with the
            same object goes on.
        weight_decay : float
            λ, which adds ½ λ Σ W² (of the weights, not the biases) to the J of every batch, and so λ W to every
            gradient. `history.loss` is without it.
        sample_weight : array_like, (r,), optional
            What each example counts: J of a batch is Σ w L / Σ w over its examples, and 0 if all of them are 0.
            `history.loss` is the mean of these J, each counted by the number of its examples.
        patience : int, optional
            Stop after so many epochs without a better validation loss.
        comm : mpi4py.MPI.Intracomm, optional
            Train data-parallel on the ranks of a communicator, such as ``MPI.COMM_WORLD``. Each rank calls `fit` with
            its own share of the examples and of the validation examples (which may be empty), and with the same
            settings. See the notes.

        Returns
        -------
        history : History
            ``.loss .accuracy .validation_loss .seconds``: lists with a number for each epoch.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit, before anything is trained.
        KeyboardInterrupt
            On Ctrl-C, within a tenth of a second; the weights are those after some whole step.

        Warns
        -----
        RuntimeWarning
            Once, when the loss becomes infinite or NaN: X is not finite, or the steps are too large.

        Notes
        -----
        A second thread that calls `fit` on the same net waits until the first is done.

        With `comm` it is the training of one process on the shares joined in the order of the ranks: `batch_size` is
        that of all ranks together, the order of the examples is drawn from rank 0's seed, a batch's gradient is the sum
        over the ranks (Allreduce), and all begin with rank 0's weights. Weights and history are the same on all ranks,
        and those of one process but for rounding. It is fast with `shuffle` only: without, most batches lie on one
        rank, and the others wait. An error or a Ctrl-C on one rank is raised on all; the callback is called on all,
        and each may stop. Ranks that share cores divide them.

        Within an epoch x86 processors take results below the smallest normal number (1e-38, in float64 1e-308) as 0: a
        net that has long learnt its examples has such gradients, and they would make a step several times as long.

        Examples
        --------
        >>> import nnc
        >>> (X, y), (X_val, y_val) = nnc.data.digits()
        >>> net = nnc.MLP([784, 200, 10], seed=0, mean=X.mean(), std=X.std())
        >>> history = net.fit(X.T, y, epochs=5, validation=(X_val.T, y_val), progress=False)
        >>> history.accuracy[-1] > 0.9
        True
        """
        with self._lock(), distributed.ranks(comm) as ranks:
            return training.fit(
                self, ranks, X, y, epochs, batch_size, lr, momentum, validation, shuffle, seed, progress, callback,
                keep_best, optimizer, weight_decay, sample_weight, patience,
            )  # fmt: skip

    def loss_and_gradient(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, list[NDArray[Any]], list[NDArray[Any]]]:
        """(J, dW, db): the mean loss and its gradient at full speed, for an optimizer of your own.

        The same as `forward` and `backward`, but in the engine, which keeps no intermediate results.

        Parameters
        ----------
        X : array_like, (m, r), real
        y : array_like
            As in `fit`.
        sample_weight : array_like, (r,), optional
            What each example counts: J = Σ w L / Σ w.

        Returns
        -------
        J : float
        dW, db : list of ndarray
            ``dW[0]`` is ∂J/∂W¹, in the net's dtype.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit the net, or there is no example.

        Examples
        --------
        >>> import numpy as np, nnc
        >>> net = nnc.MLP([3, 1], init=lambda n, m: np.zeros((n, m)), loss="squared_error")
        >>> net.loss_and_gradient(np.eye(3)[:, :2], [1, 2])
        (1.25, [array([[-0.5, -1. ,  0. ]], dtype=float32)], [array([[-1.5]], dtype=float32)])
        """
        with self._lock():
            return training.loss_and_gradient(self, X, y, sample_weight)

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """P: the output for each example.

        With the cross-entropy the probability of each class (eq. 4.2), with the binary cross-entropy that of each label
        being 1, with other losses the numbers that `predict` returns.

        Parameters
        ----------
        X : array_like, (m, r)
            Examples in columns, as for `fit`: not normalised.

        Returns
        -------
        P : ndarray, (n, r), in the net's dtype

        Raises
        ------
        TypeError, ValueError
            If X is not real, or not (m, r).

        Examples
        --------
        >>> import numpy as np, nnc
        >>> net = nnc.MLP([3, 4, 2], seed=0)
        >>> net.predict_proba(np.ones((3, 5))).sum(axis=0).round(5)
        array([1., 1., 1., 1., 1.], dtype=float32)
        """
        return self._proba("predict_proba", X)

    def predict(self, X: ArrayLike) -> NDArray[np.intp]:
        """Labels: for each example the row of its largest probability.

        Parameters
        ----------
        X : array_like, (m, r)
            Examples in columns, as for `fit`: not normalised.

        Returns
        -------
        ndarray, (r,), of int
            With the binary cross-entropy 0 or 1 for each output, (n, r), with other losses the outputs themselves,
            (n, r), in the net's dtype; (r,) where n is 1.

        Raises
        ------
        TypeError, ValueError
            If X is not real, or not (m, r).

        Examples
        --------
        >>> import numpy as np, nnc
        >>> net = nnc.MLP([3, 2], init=lambda n, m: [[1, 0, 0], [0, 1, 0]])
        >>> net.predict(np.eye(3))
        array([0, 1, 0])
        """
        return self._loss.predict(self._proba("predict", X))

    def accuracy(self, X: ArrayLike, y: ArrayLike) -> float:
        """The fraction of the examples whose prediction is their label.

        With the binary cross-entropy all outputs of an example must be right.

        Parameters
        ----------
        X : array_like, (m, r)
            Examples in columns, as for `fit`: not normalised.
        y : array_like
            Labels, as in `fit`.

        Returns
        -------
        float

        Raises
        ------
        TypeError, ValueError
            If X or y does not fit the net, there is no example, or the net's loss has no classes.

        Examples
        --------
        >>> import numpy as np, nnc
        >>> net = nnc.MLP([3, 2], init=lambda n, m: [[1, 0, 0], [0, 1, 0]])
        >>> net.accuracy(np.eye(3)[:, :2], [0, 0])
        0.5
        """
        X = as_examples("accuracy", X, self.sizes[0], self.dtype)
        at_least_one("accuracy", X)
        y = self._loss.checked_targets("accuracy", y, self.sizes[-1], X.shape[1], self.dtype)
        return self._loss.accuracy("accuracy", self._proba("accuracy", X), y)

    def loss(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """J, the mean loss over the examples (eqs. 5.2, 5.3), or Σ w L / Σ w; without the L2 term of a training.

        Parameters
        ----------
        X : array_like, (m, r)
            Examples in columns, as for `fit`: not normalised.
        y : array_like
            Labels or targets, as in `fit`.
        sample_weight : array_like, (r,), optional
            The w, at least 0; all 1 by default.

        Returns
        -------
        float

        Raises
        ------
        TypeError, ValueError
            If X or y does not fit the net, or there is no example.

        Examples
        --------
        >>> import numpy as np, nnc
        >>> net = nnc.MLP([3, 2], init=lambda n, m: np.zeros((n, m)))
        >>> print(f"{net.loss(np.eye(3), [0, 1, 0]):.4f}")  # ln 2
        0.6931
        """
        self._parameters("loss")
        X = as_examples("loss", X, self.sizes[0], self.dtype)
        at_least_one("loss", X)
        y = self._loss.checked_targets("loss", y, self.sizes[-1], X.shape[1], self.dtype)
        # From the scores, not from P: the loss is exact also where a probability is too small to be a number.
        return training.evaluate(self, X, y, as_weights("loss", sample_weight, X.shape[1], self.dtype))[0]

    # ---- to keep -----------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the net to `path`, whole or not at all.

        Parameters
        ----------
        path : path
            Used as given: no ending is added.

        Notes
        -----
        A path that ends with ``.safetensors`` becomes such a file, which a PyTorch ``Sequential`` of ``Linear`` layers
        loads: module 0, 2, 4, ... are the layers, those between them the activations. It needs the extra
        ``safetensors``. Every other path becomes an .npz file.

        What is kept: sizes, activations, slope, mean, std, weights and biases; not the state of the random generator.
        In a .safetensors file mean and std are metadata: PyTorch has to normalise X itself.

        Raises
        ------
        OSError
            If the file cannot be written; one that was there before is then unchanged.
        ImportError
            If the library safetensors is needed and not installed.

        Examples
        --------
        >>> import os, tempfile, nnc
        >>> net = nnc.MLP([3, 4, 2], seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.npz")
        ...     net.save(path)
        ...     nnc.MLP.load(path)
        MLP([3, 4, 2], activation='relu', dtype='float32'): 26 parameters
        """
        self._parameters("save")
        storage.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], **options: Any) -> MLP:
        """The net that `save` wrote to `path`, or PyTorch's ``Sequential`` of ``Linear`` layers in a .safetensors file.

        Parameters
        ----------
        path : path
        **options
            ``activation``, ``slope``, ``mean``, ``std``, ``loss`` of the net, as `MLP` takes them, for a .safetensors
            file of PyTorch's, which holds nothing but the weights. ``activation`` must be given if there are hidden
            layers.

        Returns
        -------
        MLP

        Raises
        ------
        ValueError
            If the file is not a whole model (the message says what is missing or wrong), holds weights only and
            ``activation`` is not given, or contains an option that is given, too.
        OSError
            If it cannot be read.
        ImportError
            If the library safetensors is needed and not installed.

        Notes
        -----
        A file is data, never code, and nothing is allocated beyond its own size.

        Examples
        --------
        >>> import os, tempfile, nnc
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.npz")
        ...     nnc.MLP([3, 4, 2], "tanh").save(path)
        ...     nnc.MLP.load(path)
        MLP([3, 4, 2], activation='tanh', dtype='float32'): 26 parameters
        """
        return storage.load(cls, path, options)

    def to_onnx(self, path: str | os.PathLike[str]) -> None:
        """Write the net to `path` as an ONNX graph, whole or not at all; needs the extra ``onnx``.

        Parameters
        ----------
        path : path

        Notes
        -----
        The graph's input ``X`` (batch, m) holds an example in each row, as ONNX's users have them, of the net's dtype
        and not normalised; the output ``P`` (batch, n) is ``predict_proba(X.T).T``, whatever the loss.

        Raises
        ------
        OSError
            If the file cannot be written; one that was there before is then unchanged.
        ImportError
            If the library onnx is not installed.

        Examples
        --------
        >>> import os, tempfile, nnc
        >>> net = nnc.MLP([3, 4, 2], seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "net.onnx")
        ...     net.to_onnx(path)
        ...     nnc.MLP.from_onnx(path)
        MLP([3, 4, 2], activation='relu', dtype='float32'): 26 parameters
        """
        from . import to_onnx

        self._parameters("to_onnx")
        to_onnx.write(self, path)

    @classmethod
    def from_onnx(cls, path: str | os.PathLike[str], loss: str | None = None) -> MLP:
        """The net of an ONNX graph of dense layers, as `to_onnx`, PyTorch, Keras and skl2onnx write them.

        Such a graph may have a normalisation of X, dense layers (Gemm, or MatMul and Add), the activations of a net,
        and at the end Softmax, Sigmoid, Exp or nothing. Its output of real numbers is used.

        Parameters
        ----------
        path : path
        loss : str, optional
            What the outputs are for, where the graph ends with scores, as PyTorch's classifiers do:
            ``loss="cross_entropy"`` gives a net with the softmax of them. By default the loss follows from the
            graph's last operator: it is the squared error if that is a dense layer.

        Returns
        -------
        MLP

        Raises
        ------
        ValueError
            If the file is not an ONNX graph of this kind; the message names what is not supported.
        OSError
            If it cannot be read.
        ImportError
            If the library onnx is not installed.

        Examples
        --------
        >>> import os, tempfile, nnc
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "net.onnx")
        ...     nnc.MLP([3, 4, 2], "tanh").to_onnx(path)
        ...     nnc.MLP.from_onnx(path)
        MLP([3, 4, 2], activation='tanh', dtype='float32'): 26 parameters
        """
        from . import from_onnx

        return from_onnx.read(cls, path, loss)

    def to_c(self, path: str | os.PathLike[str]) -> None:
        """Write the net to `path` as one file of C11 with a function ``predict``, whole or not at all.

        Parameters
        ----------
        path : path

        Notes
        -----
        The file needs no library and no other file, so it runs on a microcontroller or in another program::

            int predict(const float x[784], float p[10]);

        x is one example, not normalised; p gets its probabilities, and the result is the label. Where the loss is not
        the cross-entropy, p gets the outputs and the function returns nothing. With a float64 net the two are double.

        Raises
        ------
        ValueError
            If a weight is not finite.
        OSError
            If the file cannot be written; one that was there before is then unchanged.

        Examples
        --------
        >>> import os, tempfile, nnc
        >>> net = nnc.MLP([3, 4, 2], seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "net.c")
        ...     net.to_c(path)
        ...     "int predict(const float x[3], float p[2]);" in open(path).read()
        True
        """
        from . import to_c

        self._parameters("to_c")
        to_c.write(self, path)

    # ---- to see ------------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        shown = "" if self.loss_name == "cross_entropy" else f"loss={self.loss_name!r}, "
        if self.activations:
            same = len(set(self.activations)) == 1
            shown += f"activation={(self.activations[0] if same else list(self.activations))!r}, "
        return f"MLP({list(self.sizes)}, {shown}dtype={self.dtype.name!r}): {_count(self):,} parameters"

    def _repr_html_(self) -> str:
        """A table of the layers for a notebook; it names no colour, so it reads in a light and in a dark theme."""
        rows = []
        for layer, (m, n) in enumerate(pairwise(self.sizes)):
            function = [*self.activations, self._loss.output_name][layer]
            cells = (f"{layer + 1}", f"({n}, {m})", f"({n}, 1)", function, f"{n * m + n:,}")
            rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        head = "".join(f"<th>{title}</th>" for title in ("layer", "W", "b", "activation", "parameters"))
        sizes = "–".join(map(str, self.sizes))
        return (
            f"<table><caption>MLP {sizes}, {self.dtype.name}, {_count(self):,} parameters</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        )

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _parameters(self, op):
        """weights and biases, every array checked: they are public, and the engine writes into them without a check."""
        arguments.parameters(op, "weights", self.weights, [(n, m) for m, n in pairwise(self.sizes)], self.dtype)
        arguments.parameters(op, "biases", self.biases, [(n, 1) for n in self.sizes[1:]], self.dtype)
        return self.weights, self.biases

    def _normalized(self, X):
        """(X - mean) / std, eq. 17.3, in the net's dtype; X itself where that changes nothing."""
        if X.dtype == self.dtype and (self.mean == 0).all() and (self.std == 1).all():
            return X
        X = np.subtract(X, self.mean, dtype=self.dtype)
        X /= self.std
        return X

    def _proba(self, op, X):
        P = _engine.predict_plain(
            self.weights, self.biases, self.activations, self.slope, self.mean, self.std, X, self.loss_name, self.sizes,
            self.dtype,
        )  # fmt: skip
        if P is not None:
            return P
        weights, biases = self._parameters(op)
        X = as_examples(op, X, self.sizes[0], self.dtype)
        return _engine.predict(
            weights, biases, self.activations, self.slope, self.mean, self.std, X, self.loss_name
        )

    @property
    def _loss(self):
        return LOSSES[self.loss_name]

    def _new_lock(self):
        # Re-entrant: a callback may call fit.
        self._fit_lock, self._fit_pid = threading.RLock(), os.getpid()

    def _lock(self):
        """The lock of `fit`; a new one after a fork, where the thread that held it does not exist."""
        if self._fit_pid != os.getpid():
            self._new_lock()
        return self._fit_lock

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_fit_")}

    def __setstate__(self, state):
        self.loss_name = "cross_entropy"  # of a net pickled before there were others
        self.__dict__.update(state)
        self._new_lock()


def _count(net):
    return sum(n * m + n for m, n in pairwise(net.sizes))
