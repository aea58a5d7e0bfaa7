"""Pictures of a training and of a net, with matplotlib (an extra, `plot`).

Each function returns a `matplotlib.figure.Figure`, which a notebook shows and `savefig` writes. The background is
transparent and the lines and letters are of a middle grey, so that a picture reads on a light and on a dark page.
"""

import math

import numpy as np

from . import functional as F

__all__ = ["history", "images", "weights", "histograms", "confusion", "curves", "live"]

_GREY = "#808080"
STYLE = {  # matplotlib's settings for all of them
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": _GREY,
    "axes.labelcolor": _GREY,
    "axes.titlecolor": _GREY,
    "axes.edgecolor": _GREY,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "legend.frameon": False,
}


def _figure(rows, columns, width, height, draw):
    """A figure with rows x columns axes, drawn by draw(figure, axes)."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("nnc.plot needs matplotlib: pip install matplotlib") from error

    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, layout="constrained")
        draw(figure, axes)
        plt.close(figure)  # else a notebook shows it twice: as an open figure, and as the value of the cell
    return figure


def history(history):
    """Loss and validation accuracy per epoch.

    Parameters
    ----------
    history : History
        What `MLP.fit` returned.

    Returns
    -------
    matplotlib.figure.Figure
    """
    curves = [("loss", history.loss)] + ([("accuracy", history.accuracy)] if history.accuracy else [])

    def draw(figure, axes):
        from matplotlib.ticker import MaxNLocator

        for ax, (name, values), colour in zip(axes[0], curves, ("tab:blue", "tab:orange"), strict=False):
            ax.plot(range(len(values)), values, marker=".", color=colour)
            ax.set(xlabel="epoch", title=name)
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.grid(alpha=0.3, color=_GREY)

    return _figure(1, len(curves), 4.5 * len(curves), 3.2, draw)


def live(net):
    """A picture of the training while it goes on, in a notebook: a callback for `nnc.MLP.fit`.

    Loss, accuracy and the first layer's weights, after each epoch; when the training is over a slider (or the arrow
    keys, on the slider) goes back over the epochs. Needs anywidget: the extra ``teaching``.

    Parameters
    ----------
    net : nnc.MLP

    Returns
    -------
    callback : a widget, which the notebook shows when it is a cell's value or is given to ``display``

    Raises
    ------
    ImportError
        If anywidget is not installed.

    Examples
    --------
    >>> net = nnc.MLP([784, 200, 10])
    >>> picture = nnc.plot.live(net)  # doctest: +SKIP
    >>> display(picture)  # doctest: +SKIP
    >>> net.fit(X, y, callback=picture)  # doctest: +SKIP
    """
    try:
        from .display.live import Live
    except ImportError as error:
        raise ImportError("nnc.plot.live needs anywidget: pip install anywidget, the extra 'teaching'") from error
    return Live(net)


def images(X, titles=None, shape=None, columns=10, size=0.9):
    """A grid of images.

    Parameters
    ----------
    X : array (r, m) or (r, height, width)
        An image a row, as `nnc.data` gives them.
    titles : sequence, optional
        Written above each image: labels, predictions.
    shape : (int, int), optional
        Height and width; by default X's own, or square.
    columns : int
    size : float
        Of an image, in inches.

    Returns
    -------
    matplotlib.figure.Figure
    """
    X = np.asarray(X)
    if X.ndim not in (2, 3) or len(X) == 0:
        raise ValueError(f"images: X is {X.shape}, but must be (r, m) or (r, height, width) with an image or more")
    if titles is not None and len(titles) != len(X):
        raise ValueError(f"images: there are {len(X)} images and {len(titles)} titles")
    X = X.reshape(len(X), *(shape or _height_width(X.shape[1:], "images")))
    return _grid(X, titles, columns, size, cmap="gray")


def weights(W, shape=None, columns=10, size=0.9):
    """Each row of W (n, m) as an image: what a neuron of the first layer looks for. Red is positive, blue negative.

    Parameters
    ----------
    W : array (n, m)
    shape : (int, int), optional
        Height and width; by default square.
    columns : int
    size : float
        Of an image, in inches.

    Returns
    -------
    matplotlib.figure.Figure
    """
    W = np.asarray(W)
    if W.ndim != 2 or len(W) == 0:
        raise ValueError(f"weights: W is {W.shape}, but must be (n, m) with a row or more")
    limit = float(np.abs(W).max()) or 1.0
    W = W.reshape(len(W), *(shape or _height_width(W.shape[1:], "weights")))
    return _grid(W, None, columns, size, cmap="RdBu_r", vmin=-limit, vmax=limit)


def histograms(arrays, names=None, bins=50, columns=5):
    """A histogram of each array, on one horizontal axis: the scores z¹, z², ... of a deep net (eq. 17.7).

    Parameters
    ----------
    arrays : sequence of array
        ``t.Z`` of `MLP.forward`, for example.
    names : sequence of str, optional
        By default z¹, z², ...
    bins, columns : int

    Returns
    -------
    matplotlib.figure.Figure
    """
    arrays = [np.asarray(array).ravel() for array in arrays]
    if not arrays:
        raise ValueError("histograms: there is no array")
    names = [f"$z^{{{i}}}$" for i in range(1, len(arrays) + 1)] if names is None else names
    columns = min(len(arrays), columns)
    rows = math.ceil(len(arrays) / columns)
    low, high = min(a.min() for a in arrays), max(a.max() for a in arrays)

    def draw(figure, axes):
        for ax in axes.flat[len(arrays) :]:
            ax.set_axis_off()
        for ax, array, name in zip(axes.flat, arrays, names, strict=False):
            ax.hist(array, bins=bins, range=(low, high), color="tab:blue")
            ax.set_title(f"{name}   std {array.std():.2g}", fontsize="medium")
            ax.set_yticks([])

    return _figure(rows, columns, 2.6 * columns, 2.1 * rows, draw)


def confusion(P, y):
    """How often label i (row) was taken for j (column).

    Parameters
    ----------
    P : array
        Probabilities (n, r), or predictions (r,).
    y : array (r,)
        The labels.

    Returns
    -------
    matplotlib.figure.Figure
    """
    P, y = np.asarray(P), np.asarray(y)
    predicted = F.predict(P) if P.ndim == 2 else P
    if predicted.shape != y.shape or y.ndim != 1 or y.size == 0:
        raise ValueError(f"confusion: there are {predicted.shape} predictions and {y.shape} labels; both must be (r,)")
    n = P.shape[0] if P.ndim == 2 else int(max(y.max(), predicted.max())) + 1
    counts = np.zeros((n, n), dtype=int)
    np.add.at(counts, (y, predicted), 1)

    def draw(figure, axes):
        ax = axes[0, 0]
        ax.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
        ax.set(xlabel="prediction", ylabel="label", xticks=range(n), yticks=range(n))
        for (i, j), count in np.ndenumerate(counts):
            if count:
                dark = count > 0.5 * counts[i].sum()
                ax.text(j, i, count, ha="center", va="center", color="white" if dark else "black", fontsize="small")

    side = max(3.0, 0.55 * n)
    return _figure(1, 1, side, side, draw)


def curves(lines, xlabel="", ylabel="", log=False):
    """Curves in one picture: an activation, a cost on the way down, the error of a difference against its step.

    Parameters
    ----------
    lines : dict
        For each name (x, y), or (x, y, format) with a format of matplotlib's: ``"o"`` for points, ``"--"`` for dashes.
        The names are shown in the legend, except those that start with ``_``.
    xlabel, ylabel : str
    log : bool or str
        Which axes are logarithmic: both (True), ``"x"``, ``"y"`` or none.

    Returns
    -------
    matplotlib.figure.Figure
    """

    def draw(figure, axes):
        ax = axes[0, 0]
        for name, line in lines.items():
            ax.plot(*line, label=name)
        for axis in "xy":
            if log is True or log == axis:
                ax.set(**{f"{axis}scale": "log"})
        ax.set(xlabel=xlabel, ylabel=ylabel)
        ax.grid(alpha=0.3, color=_GREY)
        if any(not name.startswith("_") for name in lines):
            ax.legend()

    return _figure(1, 1, 6.4, 3.8, draw)


def _height_width(shape, op):
    if len(shape) == 2:
        return shape
    side = math.isqrt(shape[0])
    if side * side != shape[0]:
        raise ValueError(f"{op}: {shape[0]} pixels are not a square; give shape=(height, width)")
    return side, side


def _grid(pictures, titles, columns, size, **options):
    # Pixels as squares: interpolation shows detail that is not there, and makes a PNG of noise four times as large.
    columns = min(columns, len(pictures))
    rows = math.ceil(len(pictures) / columns)

    def draw(figure, axes):
        for ax in axes.flat:
            ax.set_axis_off()
        for i, picture in enumerate(pictures):
            axes.flat[i].imshow(picture, interpolation="nearest", **options)
            if titles is not None:
                axes.flat[i].set_title(str(titles[i]), fontsize="small")

    return _figure(rows, columns, size * columns, (size if titles is None else size + 0.25) * rows, draw)
