"""Live plots of training, in a notebook: `Live` is a callback of `nnc.MLP.fit` and a widget. It needs anywidget."""

import math
from pathlib import Path

import anywidget
import numpy as np
import traitlets

HERE = Path(__file__).parent
PICTURES = 40  # of units, at most
COLUMNS = 20
GAP = 1  # pixels between two pictures


class Live(anywidget.AnyWidget):
    """Loss, accuracy and the first layer's weights after each epoch; a slider goes back over the epochs.

    Parameters
    ----------
    net : nnc.MLP
        The net that is trained.

    Attributes
    ----------
    epoch : int
        The epoch whose weights are shown, from 1; may be set.
    """

    _esm = HERE / "live.js"
    _css = HERE / "live.css"
    heading = traitlets.Unicode("before the first epoch").tag(sync=True)
    plots = traitlets.List().tag(sync=True)
    epochs = traitlets.Int(0).tag(sync=True)
    epoch = traitlets.Int(0).tag(sync=True)
    shape = traitlets.List([1, 1]).tag(sync=True)
    picture = traitlets.Bytes(b"\0").tag(sync=True)

    def __init__(self, net):
        self._net, self._pictures = net, [first_layer(net.weights[0])]
        super().__init__(**self._shown(0))

    def __call__(self, epoch, history):
        """What `fit` calls after each epoch."""
        self._pictures.append(first_layer(self._net.weights[0]))
        curves = [("loss", history.loss), ("validation loss", getattr(history, "validation_loss", []))]
        plots = [{"title": "loss", "curves": _curves(curves)}]
        if history.accuracy:
            plots.append({"title": "accuracy", "curves": _curves([("accuracy", history.accuracy)])})
        with self.hold_sync():
            self.heading = f"epoch {epoch + 1}: {history.last()}"
            self.plots, self.epochs = plots, len(self._pictures) - 1
            self.epoch = self.epochs

    def _shown(self, epoch):
        picture = self._pictures[epoch]
        return {"shape": list(picture.shape), "picture": picture.tobytes()}

    @traitlets.observe("epoch")
    def _on_epoch(self, change):
        with self.hold_sync():
            for name, value in self._shown(change["new"]).items():
                setattr(self, name, value)

    @traitlets.validate("epoch")
    def _clamp(self, proposal):
        return min(max(proposal["value"], 0), len(self._pictures) - 1)


def _curves(named):
    finite = [(name, [v if math.isfinite(v) else None for v in values]) for name, values in named if values]
    return [{"name": name, "values": values} for name, values in finite]


def first_layer(W):
    """W (n, m) as a greyscale picture, uint8: each unit's weights as a square if m is a square, else W."""
    n, m = W.shape
    side = math.isqrt(m)
    if side * side != m or side < 3:
        return _greys(W[:200, :800])
    count = min(n, PICTURES)
    columns = min(count, COLUMNS)
    rows = math.ceil(count / columns)
    page = np.zeros((rows * (side + GAP) - GAP, columns * (side + GAP) - GAP), np.uint8)
    for unit in range(count):
        top, left = unit // columns * (side + GAP), unit % columns * (side + GAP)
        page[top : top + side, left : left + side] = _greys(W[unit].reshape(side, side))
    return page


def _greys(W):
    """0 is the middle grey, and the largest weight black or white, by its sign. What is not finite is black."""
    W = np.asarray(W, np.float64)
    largest = np.abs(W, where=np.isfinite(W), out=np.zeros_like(W)).max(initial=0) or 1.0
    return np.nan_to_num(127.5 + 127.5 * W / largest, nan=0.0, posinf=0.0, neginf=0.0).astype(np.uint8)
