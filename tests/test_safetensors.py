"""Nets as .safetensors files, read and written with PyTorch and with the library itself."""

import subprocess
import sys

import numpy as np
import pytest

import nnc

numpy_files = pytest.importorskip("safetensors.numpy")


def make_net(dtype=np.float32, sizes=(5, 4, 6, 3), activation=("leaky_relu", "tanh")):
    rng = np.random.default_rng(0)
    net = nnc.MLP(sizes, activation, "xavier", dtype, 3, 0.2, rng.uniform(0, 1, (5, 1)), 2.0)
    for b in net.biases:
        b[...] = rng.standard_normal(b.shape)
    return net


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_save_and_load(tmp_path, dtype):
    net = make_net(dtype)
    net.weights[0][0, 0] = np.nan
    net.save(tmp_path / "m.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]
    loaded = nnc.MLP.load(str(tmp_path / "m.safetensors"))
    assert loaded.activations == net.activations and loaded.slope == net.slope and loaded.dtype == dtype
    for a, b in zip([*net.weights, *net.biases, net.mean, net.std],
                    [*loaded.weights, *loaded.biases, loaded.mean, loaded.std], strict=True):  # fmt: skip
        assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def test_a_path_with_another_suffix_is_an_npz_file(tmp_path):
    make_net().save(tmp_path / "m.safetensors.bak")
    np.load(tmp_path / "m.safetensors.bak").close()


TORCH_NAMES = {"relu": "ReLU", "tanh": "Tanh", "sigmoid": "Sigmoid", "leaky_relu": "LeakyReLU", "identity": "Identity"}


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def sequential(torch, sizes, activations, dtype):
    modules = []
    for layer, (m, n) in enumerate(zip(sizes, sizes[1:], strict=False)):
        modules.append(torch.nn.Linear(m, n, dtype=dtype))
        if layer < len(activations):
            modules.append(getattr(torch.nn, TORCH_NAMES[activations[layer]])())
    return torch.nn.Sequential(*modules)


def probabilities(torch, model, X):
    with torch.no_grad():
        return model(torch.from_numpy(X.T.copy())).softmax(1).numpy().T


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activations", [("relu", "tanh"), ("sigmoid", "identity"), ("leaky_relu", "leaky_relu"), ()])
def test_weights_go_to_pytorch_and_back(tmp_path, torch, dtype, activations):
    from safetensors.torch import load_file, save_file

    sizes = (5, 4, 6, 3) if activations else (5, 3)
    net = nnc.MLP(sizes, activations, dtype=dtype, seed=1)
    for b in net.biases:
        b[...] = np.random.default_rng(2).standard_normal(b.shape)
    X = np.random.default_rng(3).standard_normal((5, 50)).astype(dtype)
    tolerance = 20 * np.finfo(dtype).eps

    net.save(tmp_path / "ours.safetensors")
    model = sequential(torch, sizes, activations, torch.float32 if dtype == np.float32 else torch.float64)
    model.load_state_dict(load_file(tmp_path / "ours.safetensors"), strict=True)
    assert np.abs(probabilities(torch, model, X) - net.predict_proba(X)).max() < tolerance

    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    save_file(model.state_dict(), tmp_path / "theirs.safetensors")
    loaded = nnc.MLP.load(tmp_path / "theirs.safetensors", activation=activations)
    assert loaded.sizes == sizes and loaded.dtype == dtype
    assert np.abs(probabilities(torch, model, X) - loaded.predict_proba(X)).max() < tolerance


def linear(rng, *shape):
    return rng.standard_normal(shape).astype("f")


def test_the_caller_gives_the_settings_that_a_foreign_file_lacks(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {"0.weight": linear(rng, 4, 5), "0.bias": linear(rng, 4), "2.weight": linear(rng, 3, 4)}
    numpy_files.save_file(tensors, tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="does not name the activations: .*activation='relu'"):
        nnc.MLP.load(tmp_path / "m.safetensors")
    options = dict(activation="tanh", slope=0.3, mean=np.ones(5), std=3.0, loss="squared_error")
    net = nnc.MLP.load(tmp_path / "m.safetensors", **options)
    assert net.activations == ("tanh",) and net.slope == 0.3 and net.mean.shape == (5, 1) and net.std.item() == 3
    assert net.loss_name == "squared_error" and not net.biases[1].any()
    tensors = {"0.weight": tensors["0.weight"]}  # one layer has no activation
    numpy_files.save_file(tensors, tmp_path / "m.safetensors")
    assert nnc.MLP.load(tmp_path / "m.safetensors").sizes == (5, 4)


def test_layers_come_in_the_order_of_their_numbers(tmp_path):
    """net.10 after net.9, not after net.1; and a module's `forward` may put activations between all of them."""
    rng = np.random.default_rng(0)
    tensors = {f"net.{i}.weight": linear(rng, n, m) for i, (m, n) in enumerate([(3, 2)] * 1 + [(2, 2)] * 10)}
    numpy_files.save_file(tensors, tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="does not name the activations"):
        nnc.MLP.load(tmp_path / "m.safetensors")
    net = nnc.MLP.load(tmp_path / "m.safetensors", activation="identity")
    assert all(np.array_equal(W, tensors[f"net.{i}.weight"]) for i, W in enumerate(net.weights))


def test_half_precision_becomes_float32(tmp_path):
    W = np.array([[1.5, -2.0]], np.float16)
    numpy_files.save_file({"0.weight": W}, tmp_path / "m.safetensors")
    net = nnc.MLP.load(tmp_path / "m.safetensors")
    assert net.dtype == np.float32 and np.array_equal(net.weights[0], W)


ONES = np.ones((4, 5), "f")


@pytest.mark.parametrize(
    "match, tensors",
    [
        ("embedding is not a weight or bias of a numbered layer", {"embedding": ONES}),
        ("running_mean is not a weight", {"0.weight": ONES, "1.running_mean": ONES[0]}),
        ("1 has no weight .n, m.", {"0.weight": ONES, "1.weight": ONES[0]}),
        ("0 has no weight", {"0.bias": ONES[0]}),
        ("not those of one sequence", {"a.0.weight": ONES, "b.0.weight": ONES}),
        ("does not name the activations", {"0.weight": ONES, "1.weight": ONES}),
        ("b1 is .* must be", {"0.weight": ONES, "0.bias": ONES[0]}),
        ("one dtype", {"0.weight": ONES, "0.bias": np.ones(4)}),
        ("I64", {"0.weight": ONES.astype(int)}),
        ("sequence of layers", {}),
    ],
)
def test_a_bad_file_is_an_error_with_its_reason(tmp_path, match, tensors):
    numpy_files.save_file(tensors, tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match=f"load: .*m.safetensors is not a model of dense layers: .*{match}"):
        nnc.MLP.load(tmp_path / "m.safetensors")


def test_settings_in_the_file_cannot_be_given_again(tmp_path):
    make_net().save(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="slope given, but the file says itself"):
        nnc.MLP.load(tmp_path / "m.safetensors", slope=0.5)


def test_incomplete_or_invalid_metadata_is_an_error(tmp_path):
    path = tmp_path / "m.safetensors"
    numpy_files.save_file({"0.weight": ONES}, path, {"activation": "[]", "slope": "0.01"})
    with pytest.raises(ValueError, match="mean, std missing"):
        nnc.MLP.load(path)
    for invalid in ("", "[" * 10**5, "nul", "{}", '"x"', "[1, 2]", "NaN", "1e999"):
        complete = dict.fromkeys(("mean", "std"), "[1]") | {"activation": "[]", "slope": "0.01"}
        numpy_files.save_file({"0.weight": ONES}, path, complete | {"mean": invalid})
        with pytest.raises(ValueError, match="load: "):
            nnc.MLP.load(path)


def test_truncated_and_missing_files(tmp_path):
    make_net().save(tmp_path / "m.safetensors")
    content = (tmp_path / "m.safetensors").read_bytes()
    for length in range(0, len(content), 11):
        (tmp_path / "cut.safetensors").write_bytes(content[:length])
        with pytest.raises(ValueError, match="load: "):
            nnc.MLP.load(tmp_path / "cut.safetensors")
    with pytest.raises(FileNotFoundError):
        nnc.MLP.load(tmp_path / "none.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(OSError):
        nnc.MLP.load(tmp_path / "folder.safetensors")


def test_without_the_library_the_extra_is_named(tmp_path):
    code = """
import sys, nnc
sys.modules["safetensors"] = None
net = nnc.MLP([2, 2])
for attempt in (net.save, nnc.MLP.load):
    try: attempt(sys.argv[1])
    except ImportError as error: print(error)
"""
    path = tmp_path / "m.safetensors"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout.count("nnc-engine[safetensors]") == 2 and not path.exists()
