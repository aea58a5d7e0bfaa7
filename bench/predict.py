"""What a trained net predicts, from one image to ten thousand: the probabilities of 784-200-10, or the class of each
image, from normalised floats and from uint8."""

import tempfile
from pathlib import Path

import numpy as np

from . import trainers
from .epoch import SIZES, load

TITLE = "Prediction by 784-200-10"
UNIT, DECIMALS = "µs", 1
DTYPES = {"float32": slice(None)}  # dtype: slice of the thread counts
BUDGET, ROUNDS = 0.04, 3
COUNTS = (1, 8, 64, 1000, 10000)


def value(case, seconds):
    return seconds * 1e6


def _net(mean, std):
    import nnc

    net = nnc.MLP(SIZES, seed=0, mean=mean, std=std)
    for arrays, values in zip((net.weights, net.biases), trainers.initial(SIZES, "float32"), strict=True):
        for array, value in zip(arrays, values, strict=True):
            array[...] = value
    return net


def nnc(net, X, threads):
    import nnc

    nnc.set_num_threads(threads)
    return (lambda: net.predict_proba(X.T).T), (lambda: net.predict(X.T))


def nnc_forward(net, X, threads):
    import nnc

    nnc.set_num_threads(threads)
    return (lambda: net.forward(X.T).P.T), None


def onnxruntime(net, X, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.onnx")
        net.to_onnx(path)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def probabilities():
        return session.run(None, {"X": X.astype("float32", copy=False)})[0]

    return probabilities, lambda: probabilities().argmax(axis=1)


def torch(net, X, threads):
    import torch

    torch.set_num_threads(threads)
    hidden, last = (torch.nn.Linear(W.shape[1], W.shape[0]) for W in net.weights)
    for layer, W, b in zip((hidden, last), net.weights, net.biases, strict=True):
        layer.weight.data, layer.bias.data = torch.from_numpy(W), torch.from_numpy(b[:, 0])
    model = torch.nn.Sequential(hidden, torch.nn.ReLU(), last)
    mean, std = net.mean.item(), net.std.item()

    @torch.inference_mode()
    def scores():
        x = torch.from_numpy(X)
        return model((x.float() - mean) / std if X.dtype == np.uint8 else x)

    return (lambda: scores().softmax(1).numpy()), (lambda: scores().argmax(1).numpy())


def sklearn(net, X, threads):
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(SIZES[1:-1], batch_size=10)
    model.partial_fit(np.zeros((10, SIZES[0]), "float32"), np.arange(10), classes=np.arange(10))
    model.coefs_ = [np.asfortranarray(W.T) for W in net.weights]
    model.intercepts_ = [b[:, 0] for b in net.biases]
    mean, std = net.mean, net.std

    def images():
        return np.subtract(X, mean, dtype="float32") / std if X.dtype == np.uint8 else X

    return (lambda: model.predict_proba(images())), (lambda: model.predict(images()))


def _runs(prepare):
    def runs(threads, dtype, folder, quick):
        floats, _, mean, std = load(folder, dtype)
        bytes_, *_ = load(folder, dtype, raw=True)
        for images, net, kind in ((floats, _net(0, 1), ""), (bytes_, _net(mean, std), ", uint8")):
            for count in COUNTS[: 3 if quick else None]:
                X = np.ascontiguousarray(images[:count])
                probabilities, classes = prepare(net, X, threads)
                expected = net.forward(X.T).P.T
                assert np.allclose(probabilities(), expected, atol=1e-4)
                many = f"{count:,} image{'s' * (count > 1)}{kind}"
                yield many, probabilities
                if classes is not None:
                    chosen = expected[np.arange(count), classes()]
                    assert (chosen >= expected.max(axis=1) - 1e-4).all()
                    yield f"{many}, classes", classes

    return runs


RUNS = {prepare.__name__: _runs(prepare) for prepare in (nnc, nnc_forward, onnxruntime, torch, sklearn)}
