"""A net as a file: an .npz with plain arrays under the notes' names, readable with `numpy.load` alone.

sizes (L+1,)   activations (L-1,)   loss ()   slope ()   mean, std (1, 1) or (m, 1)   W1, b1, W2, b2, ...

A path that ends with .safetensors is that format's, in `safetensors_file.py`. A file is not trusted: no more memory
is allocated than the file is large, and nothing in it is executed.
"""

import math
import os
from contextlib import contextmanager
from functools import partial
from io import BytesIO

import numpy as np


def save(net, path):
    """Write the net in the format that the ending names."""
    if _is_safetensors(path):
        from .safetensors_file import packed

        content = packed(net)
        with whole_or_not_at_all(path) as file:
            file.write(content)
    else:
        with whole_or_not_at_all(path) as file:  # an open file, since np.savez would add .npz to a name
            np.savez(file, **_arrays(net))


def load(cls, path, options):
    """A new net of class `cls` from the file at `path`; `options` of the net if the file holds weights only."""
    if _is_safetensors(path):
        from .safetensors_file import read

        return read(partial(assemble, cls), path, options)
    if options:
        raise TypeError(f"load: {', '.join(options)} given, but an .npz file contains them")
    return _load_npz(cls, path)


def _is_safetensors(path):
    return os.fsdecode(path).lower().endswith(".safetensors")


@contextmanager
def whole_or_not_at_all(path):
    """A new file to write to, in the folder of `path`, which replaces `path` when it is complete."""
    target = os.path.realpath(os.fsdecode(path))  # a link stays a link: the file that it points to is replaced
    if os.path.exists(target) and not os.path.isfile(target):
        # moving a file onto a folder or a device would replace it
        raise OSError(f"save: {target} is not a regular file")
    temporary = f"{target}.{os.urandom(4).hex()}.tmp"
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def assemble(cls, weights, biases, **options):
    """A net of class `cls` of these W (n, m) and b (n, 1); ValueError where they do not fit each other."""
    if len({array.dtype for array in [*weights, *biases]}) != 1:
        raise ValueError("its weights and biases are not all of one dtype")
    sizes = [weights[0].shape[1], *(len(W) for W in weights)]
    for layer, (W, b) in enumerate(zip(weights, biases, strict=True), start=1):
        for name, array, shape in (("W", W, (sizes[layer], sizes[layer - 1])), ("b", b, (sizes[layer], 1))):
            if array.shape != shape:
                raise ValueError(f"its {name}{layer} is {array.shape}, but must be {shape}: its sizes are {sizes}")
    in_order = iter(weights)
    net = cls(sizes, init=lambda n, m: next(in_order), dtype=weights[0].dtype, **options)
    for mine, b in zip(net.biases, biases, strict=True):
        mine[...] = b
    return net


# ---- npz -------------------------------------------------------------------------------------------------------------


def _arrays(net):
    arrays = {
        "sizes": np.array(net.sizes),
        "activations": np.array(net.activations, dtype=np.str_),
        "loss": np.array(net.loss_name, dtype=np.str_),
        "slope": np.array(net.slope),
        "mean": net.mean,
        "std": net.std,
    }
    for layer, (W, b) in enumerate(zip(net.weights, net.biases, strict=True), start=1):
        arrays[f"W{layer}"], arrays[f"b{layer}"] = W, b
    return arrays


def _load_npz(cls, path):
    import zipfile  # here, since it takes as long to import as all of nnc

    damaged = zipfile.BadZipFile, EOFError, KeyError, TypeError, RuntimeError, OverflowError
    with open(path, "rb") as file:
        content = file.read()  # in memory, so that no offset in it leads to an OSError
    try:
        if not zipfile.is_zipfile(BytesIO(content)):
            raise ValueError("it is not an .npz file, or it is cut short")
        with zipfile.ZipFile(BytesIO(content)) as archive:
            return _read_npz(cls, archive, len(content))
    except (ValueError, *damaged) as error:
        raise ValueError(f"load: {os.fspath(path)} is not a model that MLP.save wrote: {error}") from None


def _read_npz(cls, archive, size):
    entries = archive.infolist()
    compressed = any(entry.compress_type or entry.compress_size != entry.file_size for entry in entries)
    if compressed or sum(entry.file_size for entry in entries) > size:
        raise ValueError("its arrays are compressed, or overlap each other: they claim more than the file holds")
    stored = {entry.filename.removesuffix(".npy"): entry for entry in entries}

    def take(*names):
        missing = [name for name in names if name not in stored]
        if missing:
            raise ValueError(f"{', '.join(missing)} missing in it")
        return [_array(name, archive.read(stored[name])) for name in names]

    sizes, activations, slope, mean, std = take("sizes", "activations", "slope", "mean", "std")
    if sizes.ndim != 1 or sizes.dtype.kind not in "iu" or activations.ndim != 1 or len(sizes) < 2:
        raise ValueError("its sizes are not a list of whole numbers, or its activations not a list of names")
    if slope.shape != () or slope.dtype.kind != "f":
        raise ValueError("its slope is not a number")
    loss = take("loss")[0] if "loss" in stored else np.array("cross_entropy")  # files of the first versions
    if loss.shape != () or loss.dtype.kind != "U":
        raise ValueError("its loss is not a name")
    layers = range(1, len(sizes))
    weights, biases = take(*(f"W{layer}" for layer in layers)), take(*(f"b{layer}" for layer in layers))
    for layer, W in zip(layers, weights, strict=True):
        if W.shape != (sizes[layer], sizes[layer - 1]):
            raise ValueError(f"its W{layer} is {W.shape}, but its sizes are {sizes.tolist()}")
    options = dict(activation=activations.tolist(), slope=slope.item(), mean=mean, std=std, loss=loss.item())
    return assemble(cls, weights, biases, **options)


def _array(name, content):
    """The array of an .npy file's bytes, without a copy; its header is checked against the number of bytes."""
    from numpy.lib import format

    file = BytesIO(content)
    read_header = {(1, 0): format.read_array_header_1_0, (2, 0): format.read_array_header_2_0}
    version = format.read_magic(file)
    if version not in read_header:
        raise ValueError(f"its {name} is of version {version} of NumPy's format")
    try:
        shape, fortran_order, dtype = read_header[version](file)
    except Exception as error:  # NumPy parses it with Python's own parser, which can raise almost anything
        raise ValueError(f"its {name} has a damaged header: {error}") from None
    if dtype.kind not in "biufU" or dtype.itemsize == 0:  # any number of empty strings would fit
        raise ValueError(f"its {name} has dtype {dtype}")
    if math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"its {name} is not {dtype} {shape}, as it says")
    order = "F" if fortran_order else "C"
    return np.ndarray(shape, dtype, buffer=content, offset=file.tell(), order=order)
