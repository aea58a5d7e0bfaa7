"""A net as a file: an .npz with plain arrays under the notes' names, readable with `numpy.load` alone.

sizes (L+1,)   activations (L-1,)   slope ()   mean, std (1, 1) or (m, 1)   W1, b1, W2, b2, ... in the net's dtype
"""

import os

import numpy as np


def save(net, path):
    """Write to a temporary file beside `path` and move it there when it is whole."""
    arrays = {
        "sizes": np.array(net.sizes),
        "activations": np.array(net.activations, dtype=np.str_),
        "slope": np.array(net.slope),
        "mean": net.mean,
        "std": net.std,
    }
    for layer, (W, b) in enumerate(zip(net.weights, net.biases, strict=True), start=1):
        arrays[f"W{layer}"], arrays[f"b{layer}"] = W, b
    target = os.path.realpath(os.fsdecode(path))  # a link stays a link: the file that it points to is replaced
    if os.path.exists(target) and not os.path.isfile(target):
        raise OSError(f"save: {target} is no regular file")  # moving a file onto a folder or a device would replace it
    temporary = f"{target}.{os.urandom(4).hex()}.tmp"
    try:
        # An open file, since np.savez would add .npz to a name.
        with open(temporary, "xb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def load(cls, path):
    """A new net of class `cls` out of the file at `path`."""
    import zipfile  # here, since it takes as long to import as all of nnc
    import zlib

    damage = zipfile.BadZipFile, zlib.error, EOFError, KeyError, TypeError, RuntimeError, MemoryError
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("it is no .npz file, or it is cut short")
            file.seek(0)
            return _read(cls, file)
    except (ValueError, *damage) as error:
        raise ValueError(f"load: {os.fspath(path)} is no model that MLP.save wrote: {error}") from None


def _read(cls, file):
    with np.load(file, allow_pickle=False) as stored:
        head = ("sizes", "activations", "slope", "mean", "std")
        _require(stored, head)
        sizes, activations, slope, mean, std = (stored[name] for name in head)
        if sizes.ndim != 1 or sizes.dtype.kind not in "iu" or activations.ndim != 1:
            raise ValueError("its sizes are no list of whole numbers, or its activations no list of names")
        if slope.shape != () or slope.dtype.kind != "f":
            raise ValueError("its slope is no number")
        layers = range(1, len(sizes))
        _require(stored, [f"{name}{layer}" for layer in layers for name in "Wb"])
        weights = [stored[f"W{layer}"] for layer in layers]
        biases = [stored[f"b{layer}"] for layer in layers]
    if len({array.dtype for array in weights + biases}) != 1:
        raise ValueError("its weights and biases are not all of one dtype")
    for layer in layers:
        for name, array, columns in (("W", weights[layer - 1], sizes[layer - 1]), ("b", biases[layer - 1], 1)):
            if array.shape != (sizes[layer], columns):
                raise ValueError(f"its {name}{layer} is {array.shape}, but its sizes are {sizes.tolist()}")
    in_order = iter(weights)
    net = cls(
        sizes.tolist(),
        activations.tolist(),
        init=lambda n, m: next(in_order),
        dtype=weights[0].dtype,
        slope=slope.item(),
        mean=mean,
        std=std,
    )
    for mine, b in zip(net.biases, biases, strict=True):
        mine[...] = b
    return net


def _require(stored, names):
    missing = [name for name in names if name not in stored.files]
    if missing:
        raise ValueError(f"{', '.join(missing)} missing in it")
