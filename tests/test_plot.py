"""nnc/plot.py: what the pictures show, read back from the figures."""

import io
import subprocess
import sys

import numpy as np
import pytest

import nnc
from nnc import plot

pytest.importorskip("matplotlib")


def make_history(accuracy=True):
    history = nnc.MLP([2, 2]).fit(np.eye(2), [0, 1], epochs=0, progress=False)
    history.loss = [2.0, 1.0, 0.5]
    history.accuracy = [0.5, 0.7, 0.6] if accuracy else []
    history.seconds = [0.1] * 3
    return history


@pytest.mark.parametrize("accuracy", [False, True])
def test_history(accuracy):
    figure = plot.history(make_history(accuracy))
    assert [ax.get_title() for ax in figure.axes] == ["loss", "accuracy"][: 1 + accuracy]
    curves = [ax.lines[0].get_ydata().tolist() for ax in figure.axes]
    assert curves == [[2.0, 1.0, 0.5], [0.5, 0.7, 0.6]][: 1 + accuracy]
    assert figure.axes[0].lines[0].get_xdata().tolist() == [0, 1, 2]


def images_in(figure):
    """The images in a figure, in reading order."""
    return [np.asarray(ax.images[0].get_array()) for ax in figure.axes if ax.images]


@pytest.mark.parametrize("r", [1, 3, 11])
def test_images(r):
    X = np.random.default_rng(0).integers(0, 256, (r, 12), dtype=np.uint8)
    figure = plot.images(X, titles=range(r), shape=(3, 4), columns=5)
    assert all(np.array_equal(a, b.reshape(3, 4)) for a, b in zip(images_in(figure), X, strict=True))
    assert [ax.get_title() for ax in figure.axes][:r] == [str(i) for i in range(r)]
    square = np.random.default_rng(0).integers(0, 256, (r, 2, 2))
    assert np.array_equal(images_in(plot.images(square.reshape(r, 4))), square)
    assert np.array_equal(images_in(plot.images(square)), square)


def test_a_pixel_is_a_square_of_one_colour():
    from matplotlib.image import imread

    figure = plot.weights(np.random.default_rng(0).standard_normal((2, 28 * 28)))
    file = io.BytesIO()
    figure.savefig(file, format="png")
    file.seek(0)
    colours = np.unique(imread(file).reshape(-1, 4), axis=0)
    assert len(colours) <= 256 + 1  # those of the map, and the page


def test_weights_are_on_one_scale_with_0_in_the_middle():
    W = np.array([[1.0, -3.0, 0.5, 0.0], [0.1, 0.2, 0.3, 0.4]])
    figure = plot.weights(W)
    assert np.array_equal(images_in(figure), W.reshape(2, 2, 2))
    assert {ax.images[0].get_clim() for ax in figure.axes if ax.images} == {(-3.0, 3.0)}
    assert plot.weights(W, size=2.5).get_size_inches().tolist() == [5.0, 2.5]


def test_histograms_share_their_axis_and_count_everything():
    arrays = [np.random.default_rng(i).standard_normal((5, 40)) / (i + 1) for i in range(7)]
    figure = plot.histograms(arrays, columns=3)
    assert figure.axes[0].get_gridspec().get_geometry() == (3, 3)
    drawn = [ax for ax in figure.axes if ax.patches]
    assert len(drawn) == 7 and len({ax.get_xlim() for ax in drawn}) == 1
    assert all(sum(bar.get_height() for bar in ax.patches) == 200 for ax in drawn)
    assert "z^{7}" in drawn[6].get_title() and f"{arrays[6].std():.2g}" in drawn[6].get_title()


def test_curves():
    x = np.array([1.0, 10.0])
    figure = plot.curves({"J": (x, 1 / x), "_points": (x, x, "o")}, xlabel="h", ylabel="J", log=True)
    [ax] = figure.axes
    assert [line.get_ydata().tolist() for line in ax.lines] == [[1.0, 0.1], [1.0, 10.0]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["J"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xscale(), ax.get_yscale()) == ("h", "J", "log", "log")
    [ax] = plot.curves({"_": (x, x)}).axes
    assert ax.get_legend() is None and (ax.get_xscale(), ax.get_yscale()) == ("linear", "linear")


@pytest.mark.parametrize(("log", "scales"), [("x", ("log", "linear")), ("y", ("linear", "log"))])
def test_one_axis_can_be_logarithmic(log, scales):
    [ax] = plot.curves({"_": ([1.0, 10.0], [1.0, 10.0])}, log=log).axes
    assert (ax.get_xscale(), ax.get_yscale()) == scales


@pytest.mark.parametrize("probabilities", [False, True])
def test_confusion(probabilities):
    y, predicted = np.array([0, 0, 0, 2, 1]), np.array([0, 0, 1, 2, 1])
    figure = plot.confusion(nnc.one_hot(predicted, 3) if probabilities else predicted, y)
    counts = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in figure.axes[0].texts}
    assert counts == {(0, 0): "2", (0, 1): "1", (1, 1): "1", (2, 2): "1"}
    assert np.allclose(images_in(figure)[0][0], [2 / 3, 1 / 3, 0])


@pytest.mark.parametrize(
    "match, call",
    [
        (r"images: X is \(784,\)", lambda: plot.images(np.ones(784))),
        ("images: 12 pixels are not a square", lambda: plot.images(np.ones((2, 12)))),
        ("images: there are 2 images and 1 titles", lambda: plot.images(np.ones((2, 4)), titles=["a"])),
        (r"weights: W is \(0, 4\)", lambda: plot.weights(np.ones((0, 4)))),
        ("histograms: there is no array", lambda: plot.histograms([])),
        (r"confusion: there are \(3,\) predictions and \(2,\) labels", lambda: plot.confusion([0, 1, 2], [0, 1])),
    ],
)
def test_wrong_arguments_are_errors(match, call):
    with pytest.raises(ValueError, match=match):
        call()


def test_figures_are_readable_on_a_light_and_on_a_dark_page():
    """The background is transparent, and text is in a grey that contrasts with black and with white."""
    from matplotlib.colors import to_rgba

    figure = plot.history(make_history())
    assert to_rgba(figure.get_facecolor())[3] == 0
    for ax in figure.axes:
        assert to_rgba(ax.get_facecolor())[3] == 0
        for text in [ax.title, ax.xaxis.label, *ax.get_xticklabels()]:
            level = sum(to_rgba(text.get_color())[:3]) / 3
            assert 0.4 < level < 0.6


def test_figures_are_closed_and_rcparams_are_unchanged():
    import matplotlib.pyplot as plt

    before = dict(plt.rcParams)
    plot.history(make_history())
    assert plt.get_fignums() == [] and dict(plt.rcParams) == before


def test_matplotlib_is_imported_by_the_first_picture_only():
    code = "import sys, nnc, nnc.plot; print('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
