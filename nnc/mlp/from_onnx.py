"""A net from an ONNX graph of dense layers, as PyTorch, Keras, skl2onnx and `to_onnx.py` write them.

Such a graph is a chain from X to P; every other operand is a constant. `_path` follows the chain from P back to X, and
`_Layers` takes its nodes in order. An operator that does not belong to a dense net is refused, and named.
"""

import os

import numpy as np

from .._engine import ACTIVATIONS
from .losses import LOSSES
from .storage import assemble
from .to_onnx import OPERATORS, library

_ACTIVATIONS = {operator: name for name, operator in OPERATORS.items() if name != "identity"}
_ACTIVATIONS |= {"LeakyRelu": "leaky_relu", "PRelu": "leaky_relu", "LogSoftmax": "log_softmax"}
_LOSSES_OF_OUTPUT = {}  # the losses with each output function, the usual one first
for _name, _row in LOSSES.items():
    _LOSSES_OF_OUTPUT.setdefault(_row.output_name, []).append(_name)
_LAYERS = {"Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "Scaler", "BatchNormalization"}
_NO_OPS = {"Identity", "Cast", "Dropout", "Flatten", "Reshape"}


def read(cls, path, loss):
    """A net of class `cls`; `loss` of a graph that ends with scores, else None."""
    onnx = library()
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(os.fspath(path), format="protobuf", load_external_data=False)
        _refuse_other_files(model.graph)
        onnx.checker.check_model(model)
        return _net(cls, _Graph(onnx, model), loss)
    except (ValueError, TypeError, DecodeError, onnx.checker.ValidationError) as error:
        raise ValueError(f"from_onnx: {os.fspath(path)} is not a graph of dense layers: {error}") from None


def _refuse_other_files(graph):
    """A tensor's data can be in another file, of any name: such a file is not opened."""
    within_nodes = (a.t for node in graph.node for a in node.attribute)
    for tensor in (*graph.initializer, *within_nodes):
        if tensor.data_location == tensor.EXTERNAL:
            raise ValueError(f"the data of its {tensor.name or 'constant'} is in another file, which is not supported")


def _net(cls, graph, loss):
    nodes, both_classes = _path(graph)
    layers = _Layers(graph)
    for node in nodes:
        layers.take(node)
    return layers.net(cls, both_classes, loss)


# ---- the graph -------------------------------------------------------------------------------------------------------


class _Graph:
    """Which node computes which tensor; which tensors are constant; a node's operands and attributes."""

    def __init__(self, onnx, model):
        if model.functions:
            raise ValueError("it defines functions, which are not supported")
        self._onnx, graph = onnx, model.graph
        self.metadata = {entry.key: entry.value for entry in model.metadata_props}
        self._stored = {tensor.name: tensor for tensor in graph.initializer}
        self.producer = {name: node for node in graph.node for name in node.output}
        self.inputs = {entry.name: entry.type for entry in graph.input if entry.name not in self._stored}
        self.outputs = {entry.name: entry.type for entry in graph.output}

    def attributes(self, node):
        return {a.name: self._onnx.helper.get_attribute_value(a) for a in node.attribute}

    def constant(self, name):
        """The array of that name, or None if it is computed from X."""
        casts = []
        while name not in self._stored:
            node = self.producer.get(name)
            if node is not None and node.op_type == "Constant":
                ((kind, value),) = self.attributes(node).items()
                found = self._array(name, value) if kind == "value" else np.asarray(value)
                break
            if node is None or node.op_type not in ("Identity", "Cast"):
                return None
            if node.op_type == "Cast":
                casts.append(self._onnx.helper.tensor_dtype_to_np_dtype(self.attributes(node)["to"]))
            name = node.input[0]
        else:
            found = self._array(name, self._stored[name])
        for dtype in reversed(casts):
            found = found.astype(dtype)
        return found

    def _array(self, name, tensor):
        try:
            return self._onnx.numpy_helper.to_array(tensor)
        except MemoryError:
            raise
        except Exception as error:  # the library does not expect a damaged file
            raise ValueError(f"its tensor {name} is damaged: {error}") from None

    def operands(self, node):
        """(name of the operand computed from X, [the constant of each operand, None for that one])."""
        named = [name for name in node.input if name]
        constants = [self.constant(name) for name in named]
        computed = [name for name, constant in zip(named, constants, strict=True) if constant is None]
        if len(computed) != 1:
            raise ValueError(f"{_called(node)} has {len(computed)} operands that are computed, and may have one")
        return computed[0], constants


def _called(node):
    return f"its {node.op_type} {node.name or ', '.join(node.output)}"


def _path(graph):
    """The nodes from X to P, and whether P is (1 - p, p), as skl2onnx writes two classes."""
    name, both_classes = _result(graph), False
    node = graph.producer.get(name)
    if node is not None and node.op_type == "Concat" and len(node.input) == 2:
        name, both_classes = _one_of_two(graph, node), True
    nodes = []
    while name not in graph.inputs:
        if name not in graph.producer:
            raise ValueError(f"its result does not come from an input, but from {name}")
        nodes.append(graph.producer[name])
        name, _ = graph.operands(nodes[-1])
    return nodes[::-1], both_classes


def _result(graph):
    """The one output of real numbers; there may be labels, too."""
    real = {getattr(graph._onnx.TensorProto, name) for name in ("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16")}
    found = []
    for name, kind in graph.outputs.items():
        node = graph.producer.get(name)
        if node is not None and node.op_type == "ZipMap":  # skl2onnx: a list of dicts, made from a tensor
            found.append(node.input[0])
        elif kind.tensor_type.elem_type in real:
            found.append(name)
    if len(found) != 1:
        raise ValueError(f"its outputs are {', '.join(graph.outputs)}, and one of them, not {len(found)}, must be real")
    return found[0]


def _one_of_two(graph, concat):
    """p, where `concat` joins 1 - p and p."""
    other, p = concat.input
    minus = graph.producer.get(other)
    if minus is not None and minus.op_type == "Sub" and minus.input[1] == p:
        one = graph.constant(minus.input[0])
        if one is not None and one.size == 1 and one.item() == 1:
            return p
    raise ValueError(f"{_called(concat)} does not join 1 - p and p of two classes, and no other is supported")


# ---- the layers ------------------------------------------------------------------------------------------------------


class _Layers:
    """What the nodes taken so far compute: (X - mean) / std, then W X + b and an activation for each layer."""

    def __init__(self, graph):
        self._graph = graph
        self.weights, self.biases, self.activations = [], [], []
        self.mean, self.std, self.slope = np.zeros(1), np.ones(1), None
        self.dtype = self.after = None  # the activation since the last layer
        (kind,) = graph.inputs.values() if len(graph.inputs) == 1 else (None,)
        if kind is None:
            raise ValueError(f"its inputs are {', '.join(graph.inputs)}, but a net has one")
        dims = [d.dim_value for d in kind.tensor_type.shape.dim]  # 0 where the graph leaves it open
        self.is_rows = len(dims) in (0, 2)
        self.inputs = int(np.prod(dims[1:], dtype=object)) if dims else 0

    def take(self, node):
        known = node.op_type in _LAYERS | _NO_OPS | _ACTIVATIONS.keys()
        if not known or node.domain not in ("", "ai.onnx", "ai.onnx.ml"):
            raise ValueError(f"{_called(node)} is not supported: it does not belong to a net of dense layers")
        operator = self._activation if node.op_type in _ACTIVATIONS else getattr(self, "_" + node.op_type)
        _, constants = self._graph.operands(node)
        operator(node, constants, self._graph.attributes(node))

    def net(self, cls, both_classes, loss):
        if not self.weights:
            raise ValueError("it has no dense layer, Gemm or MatMul")
        if both_classes and self.after == "sigmoid" and len(self.weights[-1]) == 1:
            # σ(z) and 1 - σ(z) are the softmax of z and 0.
            self.weights[-1] = np.vstack([np.zeros_like(self.weights[-1]), self.weights[-1]])
            self.biases[-1] = np.append(0, self.biases[-1])
            self.after = "softmax"
        weights = [np.asarray(W, self.dtype) for W in self.weights]
        biases = [np.asarray(b, self.dtype).reshape(-1, 1) for b in self.biases]
        options = dict(activation=self.activations, mean=self.mean, std=self.std, loss=self._loss(loss))
        if self.slope is not None:
            options["slope"] = self.slope
        return assemble(cls, weights, biases, **options)

    def _loss(self, wanted):
        """The loss with the output that the graph ends with; if that is the scores, the caller may name the loss."""
        end = self.after or "identity"
        if end == "identity" or (end == "log_softmax" and wanted == "cross_entropy"):
            return wanted or self._usual(end)
        if end == "log_softmax":
            raise ValueError(
                "it ends with the logarithms of probabilities; with loss='cross_entropy' the net has those"
            )
        fitting = _LOSSES_OF_OUTPUT.get(end, [])
        if not fitting or (wanted and wanted not in fitting):
            raise ValueError(f"it ends with {end}, which is the output of {' and '.join(fitting) or 'no loss'}")
        return wanted or self._usual(end)

    def _usual(self, end):
        """The loss that nnc's own files name, or else the usual one for such an output."""
        said = self._graph.metadata.get("loss", "").strip('"')
        return said if said in _LOSSES_OF_OUTPUT[end] else _LOSSES_OF_OUTPUT[end][0]

    # -- what a node computes --

    def _layer(self, node, W, b):
        if W.ndim != 2 or W.dtype.kind != "f" or not self.is_rows:
            raise ValueError(f"{_called(node)} is not a dense layer of examples in rows and real weights (m, n)")
        if not self.weights:
            self.dtype = np.dtype(np.float32) if W.dtype == np.float16 else W.dtype
            if self.inputs not in (0, W.shape[1]):
                raise ValueError(f"{_called(node)} takes {W.shape[1]} inputs, but X has {self.inputs}")
        elif self.after and self.after not in ACTIVATIONS:
            raise ValueError(f"{_called(node)} comes after {self.after}, which is supported at the end only")
        else:
            self.activations.append(self.after or "identity")
        self.weights.append(W)
        self.biases.append(np.zeros(len(W), W.dtype))
        self.after = None
        if b is not None:
            self._add(node, b)

    def _add(self, node, c):
        c = self._for_each(node, c)
        if self.weights:
            self.biases[-1] = self.biases[-1] + c
        else:
            self.mean = self.mean - c * self.std

    def _divide(self, node, c):
        c = self._for_each(node, c)
        if self.weights:
            self.weights[-1], self.biases[-1] = self.weights[-1] / c[:, None], self.biases[-1] / c
        else:
            self.std = self.std * c

    def _for_each(self, node, c):
        """c (n,) for each input or output of a layer; (1,) before the first layer, for all of them."""
        n = len(self.weights[-1]) if self.weights else self.inputs or c.size
        if self.after:
            raise ValueError(f"{_called(node)} comes after an activation, which is not supported")
        if c.dtype.kind not in "iuf" or not (c.size == 1 or (self.is_rows and c.shape in ((n,), (1, n)))):
            raise ValueError(
                f"{_called(node)} has {c.dtype} {c.shape}, but must have one number, or one for each of {n}"
            )
        return np.broadcast_to(c.ravel(), (n,)) if self.weights else c.ravel()

    # -- the operators --

    def _Gemm(self, node, constants, attributes):
        A, B, C = [*constants, None][:3]
        if A is not None or attributes.get("transA", 0) or B is None:
            raise ValueError(f"{_called(node)} has its examples not in the rows of its first operand")
        alpha, beta = attributes.get("alpha", 1), attributes.get("beta", 1)
        W = B if attributes.get("transB", 0) else B.T
        self._layer(node, W if alpha == 1 else alpha * W, C if C is None or beta == 1 else beta * C)

    def _MatMul(self, node, constants, attributes):
        if constants[0] is not None:
            raise ValueError(f"{_called(node)} has its examples not in the rows of its first operand")
        self._layer(node, constants[1].T, None)

    def _Add(self, node, constants, attributes):
        self._add(node, next(c for c in constants if c is not None))

    def _Sub(self, node, constants, attributes):
        self._add(node, -self._second(node, constants))

    def _Mul(self, node, constants, attributes):
        with np.errstate(divide="ignore"):
            self._divide(node, 1 / np.float64(next(c for c in constants if c is not None)))

    def _Div(self, node, constants, attributes):
        self._divide(node, self._second(node, constants))

    def _second(self, node, constants):
        if constants[0] is not None:
            raise ValueError(f"{_called(node)} is supported with its constant as the second operand only")
        return constants[1]

    def _Scaler(self, node, constants, attributes):
        self._add(node, -np.asarray(attributes.get("offset", [0.0])))
        with np.errstate(divide="ignore"):
            self._divide(node, 1 / np.asarray(attributes.get("scale", [1.0])))

    def _BatchNormalization(self, node, constants, attributes):
        if attributes.get("training_mode", 0) or len(node.output) > 1:
            raise ValueError(f"{_called(node)} is supported as it is after the training only")
        _, scale, shift, mean, variance = (None if c is None else c.astype(np.float64) for c in constants)
        self._add(node, -mean)
        with np.errstate(divide="ignore"):
            self._divide(node, np.sqrt(variance + attributes.get("epsilon", 1e-5)) / scale)
        self._add(node, shift)

    def _activation(self, node, constants, attributes):
        if self.after or not self.weights:
            raise ValueError(f"{_called(node)} does not follow a dense layer")
        self.after = _ACTIVATIONS[node.op_type]
        if self.after in ("softmax", "log_softmax") and attributes.get("axis", -1) not in (1, -1):
            raise ValueError(f"{_called(node)} is over axis {attributes['axis']}, not over the classes")
        if self.after == "leaky_relu":
            slope = constants[1] if node.op_type == "PRelu" else np.float32(attributes.get("alpha", 0.01))
            if slope.size != 1 or self.slope not in (None, _shortest(slope)):
                raise ValueError(f"{_called(node)} has another slope than the others, and a net has one")
            self.slope = _shortest(slope)

    # -- operators that change no number --

    def _Identity(self, node, constants, attributes):
        pass

    def _Cast(self, node, constants, attributes):
        TensorProto = self._graph._onnx.TensorProto
        if attributes["to"] not in (TensorProto.FLOAT, TensorProto.DOUBLE):
            raise ValueError(f"{_called(node)} makes other numbers than float32 and float64")

    def _Dropout(self, node, constants, attributes):
        if len(constants) > 2 and constants[2].any():
            raise ValueError(f"{_called(node)} is supported as it is after the training only")

    def _Flatten(self, node, constants, attributes):
        if attributes.get("axis", 1) != 1:
            raise ValueError(f"{_called(node)} does not make a row of each example")
        self.is_rows = True

    def _Reshape(self, node, constants, attributes):
        shape, n = constants[1].ravel().tolist(), len(self.weights[-1]) if self.weights else self.inputs
        if len(shape) != 2 or not (shape[1] == n or (shape[0] != -1 and shape[1] == -1)):
            raise ValueError(f"{_called(node)} to {shape} does not make a row of each example of {n or 'open'} numbers")
        self.is_rows = True


def _shortest(number):
    """The shortest decimal that rounds to this number in its dtype: 0.2, not 0.20000000298."""
    return float(str(number.ravel()[0]))
