"""A net as an ONNX graph: X (batch, m) in rows, as ONNX's users have them, to P (batch, n).

Sub and Div are the normalisation, then come Gemm and an activation for each layer, and the output's own at the end.
The operators are those of opset 16, of 2022: the first in which ONNX Runtime has every one of them for doubles.
"""

import json

import numpy as np

from .storage import whole_or_not_at_all

OPSET, IR_VERSION = 16, 8  # the format's version that came with that opset

_OPERATORS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softmax": "Softmax"}


def library():
    try:
        import onnx
    except ImportError as error:
        raise ImportError("nnc: ONNX needs the library: pip install 'nnc-engine[onnx]'") from error
    return onnx


def write(net, path):
    """Write the graph to `path`, whole or not at all."""
    content = model(net).SerializeToString()
    with whole_or_not_at_all(path) as file:
        file.write(content)


# The output of each loss: an operator, and its attributes.
_OUTPUTS = {
    "cross_entropy": ("Softmax", {"axis": 1}),
    "binary_cross_entropy": ("Sigmoid", {}),
    "squared_error": ("Identity", {}),
    "poisson": ("Exp", {}),
}


def model(net):
    """The onnx.ModelProto of the net."""
    onnx = library()
    nodes, constants = _Nodes(onnx.helper), {}
    last = _normalization(nodes, constants, net)
    for layer, (W, b) in enumerate(zip(net.weights, net.biases, strict=True), start=1):
        constants[f"W{layer}"], constants[f"b{layer}"] = W, b[:, 0]
        last = nodes.add("Gemm", [last, f"W{layer}", f"b{layer}"], f"Z{layer}", transB=1)
        if layer < len(net.weights):
            last = _activation(nodes, constants, net.activations[layer - 1], last, f"A{layer}", net)
    output, settings = _OUTPUTS[net.loss_name]
    nodes.add(output, [last], "P", **settings)

    real = onnx.helper.np_dtype_to_tensor_dtype(net.dtype)
    X, P = (onnx.helper.make_tensor_value_info(name, real, ["batch", size])
            for name, size in (("X", net.sizes[0]), ("P", net.sizes[-1])))  # fmt: skip
    stored = [onnx.numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in constants.items()]
    graph = onnx.helper.make_graph(nodes.made, "MLP", [X], [P], stored)
    made = onnx.helper.make_model(
        graph,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="nnc",
        doc_string="A net of dense layers. X: an example in each row, not normalised. P: its outputs in a row.",
    )
    said = {"sizes": net.sizes, "activation": net.activations, "loss": net.loss_name}
    onnx.helper.set_model_props(made, {name: json.dumps(value) for name, value in said.items()})
    onnx.checker.check_model(made, full_check=True)
    return made


class _Nodes:
    """The graph's nodes as they are made; each has the name of its result."""

    def __init__(self, helper):
        self.made, self._helper = [], helper

    def add(self, operator, inputs, result, **attributes):
        self.made.append(self._helper.make_node(operator, inputs, [result], name=result, **attributes))
        return result


def _normalization(nodes, constants, net):
    """(X - mean) / std, less what changes nothing."""
    last = "X"
    if (net.mean != 0).any():
        constants["mean"] = net.mean[:, 0]
        last = nodes.add("Sub", [last, "mean"], "X_centered")
    if (net.std != 1).any():
        constants["std"] = net.std[:, 0]
        last = nodes.add("Div", [last, "std"], "X_normalized")
    return last


def _activation(nodes, constants, name, Z, A, net):
    if name == "identity":
        return Z
    if name != "leaky_relu":
        return nodes.add(_OPERATORS[name], [Z], A)
    if net.dtype == np.float32:
        return nodes.add("LeakyRelu", [Z], A, alpha=net.slope)
    constants["slope"] = np.array(net.slope)  # LeakyRelu's alpha has the precision of a float
    return nodes.add("PRelu", [Z, "slope"], A)
