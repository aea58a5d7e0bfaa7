"""An estimator as an ONNX graph: the net's, as `mlp/to_onnx.py` makes it, followed by the labels.

The outputs have the names that skl2onnx gives them, and the probabilities are a tensor, as its `zipmap=False` makes.
"""

import numpy as np

from ..mlp.to_onnx import Graph, add_net
from . import convert


def write(estimator, path):
    net = convert.to_mlp(estimator)
    graph = Graph(net)
    if not hasattr(estimator, "classes_"):
        add_net(graph, net, "variable")
        graph.output("variable", net.dtype, ["batch", net.sizes[-1]])
    elif estimator.out_activation_ == "softmax":
        add_net(graph, net, "probabilities")
        index = graph.add("ArgMax", ["probabilities"], "index", axis=1, keepdims=0)
        _label_at(graph, estimator, index)
        graph.output("probabilities", net.dtype, ["batch", net.sizes[-1]])
    elif net.sizes[-1] == 1:
        _of_two_classes(graph, estimator, net)
    else:
        add_net(graph, net, "probabilities")
        _above_half(graph, net, "probabilities", "label")
        graph.output("label", np.int64, ["batch", net.sizes[-1]])
        graph.output("probabilities", net.dtype, ["batch", net.sizes[-1]])
    graph.write(path)


def _of_two_classes(graph, estimator, net):
    """1 - p and p, and the second class where p is above one half."""
    add_net(graph, net, "p")
    other = graph.add("Sub", [graph.constant("one", net.dtype.type(1)), "p"], "1-p")
    graph.add("Concat", [other, "p"], "probabilities", axis=1)
    row = graph.constant("row", np.array([-1]))
    _label_at(graph, estimator, graph.add("Reshape", [_above_half(graph, net, "p", "column"), row], "index"))
    graph.output("probabilities", net.dtype, ["batch", 2])


def _above_half(graph, net, P, result):
    above = graph.add("Greater", [P, graph.constant("half", net.dtype.type(0.5))], f"{result}_above")
    return graph.add("Cast", [above], result, to=graph.code(np.int64))


def _label_at(graph, estimator, index):
    """classes_[index]; a single class is stored twice."""
    classes = _classes(estimator.classes_)
    graph.add("Gather", [graph.constant("classes", np.resize(classes, max(len(classes), 2))), index], "label")
    graph.output("label", classes.dtype, ["batch"])


def _classes(classes):
    """As ONNX has labels: int64, or strings."""
    if classes.dtype.kind in "UO" and all(isinstance(label, str) for label in classes):
        return classes.astype(object)
    with np.errstate(invalid="ignore"):
        whole = classes.astype(np.int64) if classes.dtype.kind in "biuf" else None
    if whole is None or not np.array_equal(whole, classes):
        raise ValueError(f"to_onnx: labels must be whole numbers or strings, but the classes are {classes}")
    return whole
