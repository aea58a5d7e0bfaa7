"""A net as an ONNX graph: X (batch, m) in rows, as ONNX's users have them, to P (batch, n).

Sub and Div are the normalisation; then come Gemm and an activation for each layer, and the output function at the end.
The operators are those of opset 16, of 2022: the first in which ONNX Runtime has every one of them for doubles.
"""

import json

import numpy as np

from .losses import LOSSES
from .storage import whole_or_not_at_all

OPSET, IR_VERSION = 16, 8  # the format's version that came with that opset

# The operator of each activation and of each loss's output; leaky_relu's is made below.
OPERATORS = {
    "identity": "Identity", "relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softmax": "Softmax", "exp": "Exp",
}  # fmt: skip


def library():
    try:
        import onnx
    except ImportError as error:
        raise ImportError("nnc: ONNX needs the library: pip install 'nnc-engine[onnx]'") from error
    return onnx


def write(net, path):
    """Write the graph to `path`, whole or not at all."""
    graph = Graph(net)
    add_net(graph, net, "P")
    graph.output("P", net.dtype, ["batch", net.sizes[-1]])
    graph.write(path)


class Graph:
    """A graph under construction, with the input X (batch, m); each node has the name of its one result."""

    def __init__(self, net):
        self._onnx = library()
        self._nodes, self._constants, self._outputs = [], {}, []
        self._input = self._described("X", net.dtype, ["batch", net.sizes[0]])
        self._metadata = {"sizes": net.sizes, "activation": net.activations, "loss": net.loss_name}

    def add(self, operator, inputs, result, **attributes):
        self._nodes.append(self._onnx.helper.make_node(operator, inputs, [result], name=result, **attributes))
        return result

    def constant(self, name, array):
        self._constants[name] = np.asarray(array)
        return name

    def output(self, name, dtype, shape):
        self._outputs.append(self._described(name, dtype, shape))

    def code(self, dtype):
        """ONNX's number of the dtype; object gives strings."""
        return self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def _described(self, name, dtype, shape):
        return self._onnx.helper.make_tensor_value_info(name, self.code(dtype), shape)

    def write(self, path):
        """Check the model and write it, whole or not at all."""
        content = self._model().SerializeToString()
        with whole_or_not_at_all(path) as file:
            file.write(content)

    def _model(self):
        helper, from_array = self._onnx.helper, self._onnx.numpy_helper.from_array
        stored = [from_array(np.ascontiguousarray(array), name) for name, array in self._constants.items()]
        made = helper.make_model(
            helper.make_graph(self._nodes, "MLP", [self._input], self._outputs, stored),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="nnc",
            doc_string="A net of dense layers. X: an example in each row, not normalised. Each output: a row for each.",
        )
        helper.set_model_props(made, {name: json.dumps(value) for name, value in self._metadata.items()})
        self._onnx.checker.check_model(made, full_check=True)
        return made


def add_net(graph, net, output):
    """The nodes from X to the net's output (batch, n), under that name."""
    last = _normalization(graph, net)
    for layer, (W, b) in enumerate(zip(net.weights, net.biases, strict=True), start=1):
        operands = [last, graph.constant(f"W{layer}", W), graph.constant(f"b{layer}", b[:, 0])]
        last = graph.add("Gemm", operands, f"Z{layer}", transB=1)
        if layer < len(net.weights):
            last = _activation(graph, net.activations[layer - 1], last, f"A{layer}", net)
    name = LOSSES[net.loss_name].output_name
    graph.add(OPERATORS[name], [last], output, **({"axis": 1} if name == "softmax" else {}))


def _normalization(graph, net):
    """(X - mean) / std, without the steps that change nothing."""
    last = "X"
    if (net.mean != 0).any():
        last = graph.add("Sub", [last, graph.constant("mean", net.mean[:, 0])], "X_centered")
    if (net.std != 1).any():
        last = graph.add("Div", [last, graph.constant("std", net.std[:, 0])], "X_normalized")
    return last


def _activation(graph, name, Z, A, net):
    if name == "identity":
        return Z
    if name != "leaky_relu":
        return graph.add(OPERATORS[name], [Z], A)
    if net.dtype == np.float32:
        return graph.add("LeakyRelu", [Z], A, alpha=net.slope)
    slope = graph.constant("slope", net.slope)  # LeakyRelu's alpha has the precision of a float
    return graph.add("PRelu", [Z, slope], A)
