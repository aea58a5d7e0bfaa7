"""nnc/data.py: the bundled digits, and an IDX reader that does not trust the header of a file."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nnc import data

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
FASHION = Path("/usr/share/datasets/fashion-mnist")
needs_fashion = pytest.mark.skipif(not FASHION.is_dir(), reason="dataset-fashion-mnist is not installed")


def idx_bytes(array):
    code = CODES[array.dtype.str[1:]]
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all examples of hypothesis."""
    return tmp_path_factory.mktemp("idx")


def write(folder, content, name="file"):
    path = folder / name
    path.write_bytes(content)
    return path


def peak_memory(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# ---- the bundled digits ----------------------------------------------------------------------------------------------


def test_digits():
    (X, y), (X_val, y_val) = data.digits()
    assert X.shape == (4000, 784) and X_val.shape == (1000, 784)
    assert X.dtype == np.uint8 and y.dtype == np.intp and y.shape == (4000,) and y_val.shape == (1000,)
    assert np.array_equal(np.bincount(np.concatenate([y, y_val])), [500] * 10)
    with np.load(Path(data.__file__).with_name("digits.npz")) as file:  # each image once, in one of the two
        assert sorted(map(bytes, file["images"])) == sorted(map(bytes, np.concatenate([X, X_val])))
    assert X.T.strides == (1, 784)  # a view: the images are not copied
    # Images and labels belong together: the nearest class mean is right far more often than by chance, 0.1.
    means = np.stack([X[y == k].mean(axis=0) for k in range(10)])
    nearest = ((X_val[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == y_val).mean() > 0.75


def test_digits_returns_new_arrays():
    (X, _), _ = data.digits()
    X[...] = 0
    assert data.digits()[0][0].any()


def test_the_digits_are_shipped_with_their_credit():
    credit = Path(data.__file__).with_name("digits.txt").read_text()
    assert "Yann LeCun and Corinna Cortes" in credit and "CC BY-SA 3.0" in credit


# ---- IDX: valid files ------------------------------------------------------------------------------------------------


@settings(deadline=None)  # files on a busy machine
@given(
    array=st.sampled_from(sorted(CODES)).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4))
    ),
    compress=st.booleans(),
)
def test_idx_gives_back_what_was_written(folder, array, compress):
    content = idx_bytes(array)
    read = data.load_idx(write(folder, gzip.compress(content, 1) if compress else content))
    assert read.shape == array.shape and read.dtype == array.dtype and read.dtype.isnative
    assert read.tobytes() == array.tobytes()  # as bytes: NaN too
    assert read.flags.writeable and read.flags.aligned and read.flags.c_contiguous


def test_idx_larger_than_one_chunk(folder):
    array = np.random.default_rng(0).integers(0, 2**31, (3, 1 << 19), dtype="i4")  # 6 MB, read a megabyte at a time
    assert np.array_equal(data.load_idx(write(folder, idx_bytes(array))), array)


# ---- IDX: invalid files ----------------------------------------------------------------------------------------------

SMALL = idx_bytes(np.arange(24, dtype="i2").reshape(2, 3, 4))


@pytest.mark.parametrize("compress", [False, True])
def test_every_truncation_is_refused(folder, compress):
    content = gzip.compress(SMALL) if compress else SMALL
    for length in range(len(content)):
        with pytest.raises(ValueError, match="load_idx"):
            data.load_idx(write(folder, content[:length]))


@pytest.mark.parametrize(
    "content",
    [SMALL + b"\0", gzip.compress(SMALL + b"\0"), gzip.compress(SMALL) + b"garbage", gzip.compress(SMALL) * 2],
    ids=["plain", "within gzip", "after gzip", "two gzip files"],
)
def test_anything_after_the_last_element_is_refused(folder, content):
    with pytest.raises(ValueError, match="load_idx"):
        data.load_idx(write(folder, content))


def test_a_flipped_bit_in_gzip_is_refused(folder):
    content = bytearray(gzip.compress(SMALL))
    content[-6] ^= 1  # within the checksum
    with pytest.raises(ValueError, match="not a complete gzip file"):
        data.load_idx(write(folder, content))


@pytest.mark.parametrize("content", [b"", b"hello, world", b"\0\0\x0a\1" + b"\0" * 40, b"\1\0\x08\1" + b"\0" * 40])
def test_a_file_that_is_not_idx_is_refused(folder, content):
    with pytest.raises(ValueError, match="not an IDX file"):
        data.load_idx(write(folder, content))


def test_more_dimensions_than_numpy_has_are_refused(folder):
    with pytest.raises(ValueError, match="255 dimensions"):
        data.load_idx(write(folder, b"\0\0\x08\xff" + struct.pack(">255I", *[1] * 255) + b"\7"))


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("dims", [(1 << 30,), (2**32 - 1,) * 8])
def test_no_memory_is_allocated_for_what_a_header_only_claims(folder, compress, dims):
    content = struct.pack(f">BBBB{len(dims)}I", 0, 0, 0x0E, len(dims), *dims) + b"\0" * 1000
    path = write(folder, gzip.compress(content) if compress else content)

    def read():
        with pytest.raises(ValueError, match="holds only 1000"):
            data.load_idx(path)

    assert peak_memory(read) < 4 << 20


def test_a_gzip_bomb_is_not_unpacked(folder):
    bomb = gzip.compress(struct.pack(">BBBBI", 0, 0, 8, 1, 10) + bytes(64 << 20))
    assert len(bomb) < 1 << 20
    path = write(folder, bomb)

    def read():
        with pytest.raises(ValueError, match="goes on after them"):
            data.load_idx(path)

    assert peak_memory(read) < 4 << 20


@settings(deadline=None)  # files on a busy machine
@given(
    head=st.sampled_from([b"", b"\0\0", b"\0\0\x08\1", b"\0\0\x0d\2\0\0\0\2", b"\x1f\x8b", b"\x1f\x8b\x08\0"]),
    rest=st.binary(max_size=64),
    compress=st.booleans(),
)
def test_any_bytes_give_an_array_or_a_value_error(folder, head, rest, compress):
    content = head + rest
    path = write(folder, gzip.compress(content, 1) if compress else content)
    try:
        array = data.load_idx(path)
    except ValueError as error:
        assert str(error).startswith("load_idx: ")
    else:
        assert idx_bytes(array) == content


def test_a_missing_file_is_an_oserror(folder):
    with pytest.raises(FileNotFoundError):
        data.load_idx(folder / "nowhere")


# ---- the four files of MNIST and Fashion-MNIST -----------------------------------------------------------------------


def write_four(folder, compress=False, images=5, labels=5):
    folder.mkdir(parents=True, exist_ok=True)
    for part, extra in (("train", 1), ("t10k", 0)):
        pixels = np.arange((images + extra) * 6, dtype="u1").reshape(-1, 2, 3)
        classes = np.arange(labels + extra, dtype="u1")
        for name, array in ((f"{part}-images-idx3-ubyte", pixels), (f"{part}-labels-idx1-ubyte", classes)):
            content = idx_bytes(array)
            write(folder, gzip.compress(content) if compress else content, name + (".gz" if compress else ""))


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("read", [data.mnist, data.fashion_mnist])
def test_four_files_in_root(tmp_path, read, compress):
    write_four(tmp_path, compress)
    (X, y), (X_test, y_test) = read(tmp_path)
    assert X.shape == (6, 6) and X_test.shape == (5, 6) and X.dtype == np.uint8
    assert np.array_equal(X.ravel(), np.arange(36)) and np.array_equal(y, np.arange(6)) and y.dtype == np.intp
    assert np.array_equal(y_test, np.arange(5))


@pytest.mark.parametrize("subfolder", ["", "mnist"])
def test_environment_variable(tmp_path, monkeypatch, subfolder):
    write_four(tmp_path / subfolder)
    monkeypatch.setenv("NNC_DATA", str(tmp_path))
    assert data.mnist()[0][0].shape == (6, 6)


def test_missing_files_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.delenv("NNC_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="NNC_DATA"):
        data.mnist()
    with pytest.raises(FileNotFoundError, match=f"train-images-idx3-ubyte.* in {tmp_path}; root must be"):
        data.fashion_mnist(tmp_path)
    monkeypatch.setattr(data, "Path", lambda path: tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="apt install dataset-fashion-mnist.* NNC_DATA"):
        data.fashion_mnist()


def test_images_and_labels_must_belong_together(tmp_path):
    write_four(tmp_path, labels=4)
    with pytest.raises(ValueError, match=r"images are uint8 \(6, 2, 3\) and the labels uint8 \(5,\)"):
        data.mnist(tmp_path)


@needs_fashion
def test_fashion_mnist_where_debian_puts_it(monkeypatch):
    monkeypatch.delenv("NNC_DATA", raising=False)
    (X, y), (X_test, y_test) = data.fashion_mnist()
    assert X.shape == (60000, 784) and X_test.shape == (10000, 784)
    assert np.array_equal(np.bincount(y), [6000] * 10) and np.array_equal(np.bincount(y_test), [1000] * 10)
