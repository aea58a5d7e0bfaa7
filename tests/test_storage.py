"""Files and copies of a net: complete or not written at all; a foreign or damaged file is an error."""

import copy
import io
import os
import pickle
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

import nnc


def make_net(dtype=np.float32):
    rng = np.random.default_rng(0)
    net = nnc.MLP([5, 4, 6, 3], ["leaky_relu", "tanh"], "xavier", dtype, 3, 0.2, rng.uniform(0, 1, (5, 1)), 2.0)
    for b in net.biases:
        b[...] = rng.standard_normal(b.shape)
    return net


def assert_same(a, b):
    assert a.sizes == b.sizes and a.activations == b.activations and a.dtype == b.dtype and a.slope == b.slope
    for x, y in zip([*a.weights, *a.biases, a.mean, a.std], [*b.weights, *b.biases, b.mean, b.std], strict=True):
        assert x.dtype == y.dtype and x.tobytes() == y.tobytes()
    X = np.random.default_rng(5).standard_normal((5, 4))
    assert np.array_equal(a.predict_proba(X), b.predict_proba(X), equal_nan=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["model.npz", "model", "model.tar.gz", "with a space"])
def test_save_and_load(tmp_path, dtype, name):
    net = make_net(dtype)
    net.weights[0][0, 0] = np.nan  # a net that diverged can be saved, too
    net.save(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == [name]  # the path as given, and no other file
    loaded = nnc.MLP.load(str(tmp_path / name))
    assert_same(net, loaded)
    loaded.fit(np.ones((5, 8)), np.zeros(8, int), epochs=1, progress=False)


def test_a_net_without_hidden_layers_can_be_saved(tmp_path):
    net = nnc.MLP([3, 2], seed=0)
    net.save(tmp_path / "m")
    assert np.array_equal(nnc.MLP.load(tmp_path / "m").weights[0], net.weights[0])


def test_saved_file_reads_with_numpy_alone(tmp_path):
    net = make_net()
    net.save(tmp_path / "m")
    with np.load(tmp_path / "m", allow_pickle=False) as file:
        assert np.array_equal(file["W2"], net.weights[1]) and np.array_equal(file["b3"], net.biases[2])
        assert list(file["sizes"]) == [5, 4, 6, 3]


def test_save_honours_umask_and_links(tmp_path):
    (tmp_path / "link").symlink_to("target")
    old = os.umask(0o027)
    try:
        make_net().save(tmp_path / "link")
    finally:
        os.umask(old)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").stat().st_mode & 0o777 == 0o640


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    net = make_net()
    net.save(tmp_path / "m")
    before = (tmp_path / "m").read_bytes()

    def fails(file, **arrays):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fails)
    with pytest.raises(OSError, match="No space left"):
        net.save(tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_saving_to_a_folder_or_into_a_missing_one_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        make_net().save(tmp_path / "nowhere" / "m")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="not a regular file"):
        make_net().save(tmp_path / "folder")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def stored():
    return dict(
        sizes=np.array([5, 4, 3]), activations=np.array(["relu"]), slope=np.array(0.1), mean=np.zeros((1, 1), "f"),
        std=np.ones((1, 1), "f"), W1=np.ones((4, 5), "f"), b1=np.zeros((4, 1), "f"), W2=np.ones((3, 4), "f"),
        b2=np.zeros((3, 1), "f"),
    )  # fmt: skip


def test_the_arrays_that_the_next_test_changes_load(tmp_path):
    np.savez(tmp_path / "m.npz", **stored())
    assert nnc.MLP.load(tmp_path / "m.npz").sizes == (5, 4, 3)


@pytest.mark.parametrize(
    "match, change",
    [
        *[(f"{name}.* missing", {name: None}) for name in stored()],
        ("W1 is", dict(W1=np.ones((4, 6), "f"))),
        ("b2 is", dict(b2=np.zeros((4, 1), "f"))),
        ("one dtype", dict(W1=np.ones((4, 5)))),
        ("dtype must be float32 or float64", {k: stored()[k].astype(int) for k in ("W1", "b1", "W2", "b2")}),
        ("activation 'rulu'", dict(activations=np.array(["rulu"]))),
        ("sizes", dict(sizes=np.array([5, 4.5, 3]))),
        ("sizes", dict(sizes=np.array(7))),
        ("sizes", dict(sizes=np.array([5]))),
        ("missing", dict(sizes=np.array([10**12, 10**12, 10**12, 3]))),
        ("W1 is", dict(sizes=np.array([10**12, 10**12, 3]))),
        ("std must be above 0", dict(std=np.zeros((1, 1), "f"))),
        ("slope", dict(slope=np.array([1.0, 2.0]))),
        ("slope", dict(slope=np.array("steep"))),
        ("W1 has dtype object", dict(W1=np.array([[object()]]))),
    ],
)
def test_a_wrong_array_is_an_error_with_its_reason(tmp_path, match, change):
    arrays = {name: array for name, array in (stored() | change).items() if array is not None}
    np.savez(tmp_path / "m.npz", **arrays)
    with pytest.raises(ValueError, match=f"load: .*m.npz is not a model.*{match}"):
        nnc.MLP.load(tmp_path / "m.npz")


def test_foreign_files(tmp_path):
    path = tmp_path / "m"
    for content in (b"", b"just text\n" * 50, b"\x93NUMPY", pickle.dumps([1]), b"PK\x03\x04" + b"\0" * 50):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="load: .* is not a model"):
            nnc.MLP.load(path)
    np.save(tmp_path / "m.npy", np.ones(3))
    with pytest.raises(ValueError, match="not an .npz file"):
        nnc.MLP.load(tmp_path / "m.npy")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match="sizes, .*missing"):
        nnc.MLP.load(path)
    with pytest.raises(FileNotFoundError):
        nnc.MLP.load(tmp_path / "nowhere")


def test_a_truncated_or_damaged_file_is_a_value_error_or_loads_in_full(tmp_path):
    net = make_net()
    net.save(tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    rng = np.random.default_rng(0)
    for length in range(0, len(content), 7):
        (tmp_path / "cut").write_bytes(content[:length])
        with pytest.raises(ValueError, match="load: "):
            nnc.MLP.load(tmp_path / "cut")
    for position in rng.integers(0, len(content), 300):
        damaged = bytearray(content)
        damaged[position] ^= 1 << rng.integers(8)
        (tmp_path / "cut").write_bytes(damaged)
        try:
            loaded = nnc.MLP.load(tmp_path / "cut")  # if the bit does not matter, as in a time stamp
        except ValueError as error:
            assert str(error).startswith("load: ")
        else:
            assert_same(net, loaded)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["copy", "pickle"])
def test_copies_are_equal_and_independent(copied):
    net = make_net()
    other = copied(net)
    assert_same(net, other)
    X, y = np.random.default_rng(1).standard_normal((5, 20)), np.arange(20) % 3
    for n in (net, other):  # the generator is copied, too: the same order of the examples
        n.fit(X, y, epochs=2, batch_size=4, progress=False)
    assert_same(net, other)
    other.weights[0][...] = 0
    assert net.weights[0].any()


def test_unpickled_in_another_process(tmp_path):
    net = make_net()
    (tmp_path / "net").write_bytes(pickle.dumps(net))
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).weights[1].tobytes().hex())"
    out = subprocess.run([sys.executable, "-c", code, tmp_path / "net"], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == net.weights[1].tobytes().hex()


# ---- files with false headers and sizes ------------------------------------------------------------------------------


def file_with(tmp_path, **members):
    """A model's file in which these members have these bytes; the others are right."""
    np.savez(tmp_path / "right.npz", **stored())
    path = tmp_path / "m.npz"
    with zipfile.ZipFile(tmp_path / "right.npz") as right, zipfile.ZipFile(path, "w") as archive:
        for name in right.namelist():
            archive.writestr(name, members.get(name.removesuffix(".npy"), right.read(name)))
    return path


def npy(shape, descr="<f4", content=b""):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": descr})
    return file.getvalue() + content


@pytest.mark.parametrize("shape", [(10**5, 10**5), (10**12, 10**12), (0, 10**40), (-4, -5)])
def test_a_false_shape_is_an_error_before_memory_is_allocated(tmp_path, shape):
    path = file_with(tmp_path, W1=npy(shape, content=bytes(80)))
    tracemalloc.start()
    with pytest.raises(ValueError, match="load: .* is not a model"):
        nnc.MLP.load(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_empty_strings_are_an_error_before_they_are_read(tmp_path):
    path = file_with(tmp_path, activations=npy((10**7,), "<U0"))
    tracemalloc.start()
    with pytest.raises(ValueError, match="its activations has dtype <U0"):
        nnc.MLP.load(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_bytes_after_the_last_number_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="its W1 is not float32 .4, 5., as it says"):
        nnc.MLP.load(file_with(tmp_path, W1=npy((4, 5), content=bytes(84))))


def test_a_compressed_file_is_refused_before_it_is_read(tmp_path):
    np.savez_compressed(tmp_path / "m.npz", **stored() | dict(W1=np.zeros((4, 10**7), "f")))
    assert (tmp_path / "m.npz").stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(ValueError, match="compressed"):
        nnc.MLP.load(tmp_path / "m.npz")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_an_npz_file_takes_no_options(tmp_path):
    make_net().save(tmp_path / "m")
    with pytest.raises(TypeError, match="activation given"):
        nnc.MLP.load(tmp_path / "m", activation="relu")
