"""A net as a .safetensors file, under the names of a PyTorch `Sequential`: 0.weight, 0.bias, 2.weight, 2.bias, ...

Module 2l is the layer's `Linear`, weight (n, m) and bias (n,); module 2l + 1 its activation, which has no weights. All
else is in the file's metadata, as JSON. A file that PyTorch wrote does not have it, and the caller has to give it, even
if the layers' numbers follow each other: their module's `forward` may apply an activation between them.
"""

import json
import os
import re

import numpy as np

_LAYER = re.compile(r"(.*?)(\d+)\.(weight|bias)", re.DOTALL)
_IN_METADATA = ("activation", "slope", "mean", "std")


def _library():
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError("nnc: .safetensors files need the library: pip install 'nnc-engine[safetensors]'") from error
    return safetensors


def packed(net):
    """The bytes of the file."""
    tensors = {}
    for layer, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        tensors[f"{2 * layer}.weight"], tensors[f"{2 * layer}.bias"] = W, b[:, 0]
    options = {
        "activation": net.activations,
        "slope": net.slope,
        "mean": net.mean[:, 0].tolist(),
        "std": net.std[:, 0].tolist(),
        "loss": net.loss_name,
    }
    metadata = {"format": "pt"} | {name: json.dumps(value) for name, value in options.items()}
    return _library().numpy.save(tensors, metadata)


def read(make, path, options):
    """make(weights, biases, **options), a net; `options` are what the file does not say."""
    safetensors = _library()
    with open(path, "rb"):  # the OSError of the system, where it cannot be read
        pass
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            tensors = {name: _real(name, file) for name in file.keys()}  # noqa: SIM118 - it is not a dict
            metadata = file.metadata() or {}
        weights, biases = _layers(tensors)
        said = _options(metadata)
        if both := said.keys() & options.keys():
            raise ValueError(f"{', '.join(sorted(both))} given, but the file says itself: {metadata}")
        options = {**said, **options}
        if "activation" not in options and len(weights) > 1:
            raise ValueError(
                "it does not name the activations: give them, as in MLP.load(path, activation='relu') or"
                " nnc export --activation relu"
            )
        return make(weights, biases, **options)
    except (ValueError, TypeError, safetensors.SafetensorError) as error:
        raise ValueError(f"load: {os.fspath(path)} is not a model of dense layers: {error}") from None


def _real(name, file):
    described = file.get_slice(name)
    if described.get_dtype() not in ("F16", "F32", "F64"):
        raise ValueError(f"its {name} is {described.get_dtype()}, but weights are F32 or F64")
    tensor = file.get_tensor(name)
    return tensor.astype(np.float32) if tensor.dtype == np.float16 else tensor


def _layers(tensors):
    """W (n, m) and b (n, 1) of each layer, in the order of the modules' numbers."""
    found = {name: _LAYER.fullmatch(name) for name in tensors}
    unknown = [name for name in tensors if not found[name]]
    if unknown:
        raise ValueError(f"its {unknown[0]} is not a weight or bias of a numbered layer, such as 0.weight")
    prefixes = {match[1] for match in found.values()}
    if len(prefixes) != 1:
        raise ValueError(f"its tensors are not those of one sequence of layers, but of {sorted(prefixes)}")
    (prefix,) = prefixes
    numbers = sorted({int(match[2]) for match in found.values()})
    weights, biases = [], []
    for number in numbers:
        W, b = (tensors.get(f"{prefix}{number}.{part}") for part in ("weight", "bias"))
        if W is None or W.ndim != 2:
            raise ValueError(f"its {prefix}{number} has no weight (n, m): it is not a dense layer")
        weights.append(W)
        biases.append(np.zeros((len(W), 1), W.dtype) if b is None else b.reshape(-1, 1))  # Linear(bias=False)
    return weights, biases


def _options(metadata):
    """What `packed` put into the metadata: all of it or, in a foreign file, nothing."""
    missing = [name for name in _IN_METADATA if name not in metadata]
    if len(missing) == len(_IN_METADATA):
        return {}
    if missing:
        raise ValueError(f"{', '.join(missing)} missing in its metadata")
    try:
        said = {name: json.loads(metadata[name]) for name in _IN_METADATA}
        if "loss" in metadata:  # files of the first versions have none: there was only the cross-entropy
            said["loss"] = json.loads(metadata["loss"])
        return said
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its metadata is damaged: {error}") from None
