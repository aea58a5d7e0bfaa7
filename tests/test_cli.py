"""The command line, as a shell sees it: output, exit codes, one line for an error, never a traceback."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_data import needs_fashion, write_four

import nnc

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-m", "nnc"]


def run(*arguments, code=0, **options):
    done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def error_of(*arguments, **options):
    """The one line of a command that fails."""
    done = run(*arguments, code=1, **options)
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("nnc: "), done.stderr
    assert done.stdout == ""
    return lines[0]


def accuracies(stdout):
    return [float(a) for a in re.findall(r"^epoch .* accuracy (\d\.\d+)", stdout, re.MULTILINE)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """`nnc train`, run once: (the finished process, the model that it wrote)."""
    path = tmp_path_factory.mktemp("model") / "model.npz"
    return run("train", "--out", path), path


# ---- train -----------------------------------------------------------------------------------------------------------


def test_train(trained):
    done, path = trained
    assert "MLP([784, 200, 10], activation='relu', dtype='float32')" in done.stdout
    shown = accuracies(done.stdout)
    assert len(shown) == 10 and max(shown) >= 0.94
    assert "100%" in done.stderr and "10/10" in done.stderr  # the progress bar, and nothing of it on stdout
    assert "%|" not in done.stdout and f"wrote {path}" in done.stdout
    net = nnc.MLP.load(path)
    _, (X_val, y_val) = nnc.data.digits()
    assert net.sizes == (784, 200, 10)
    assert net.accuracy(X_val.T, y_val) == max(shown)  # the best epoch is kept


def test_the_images_are_normalized(trained):
    (X, _), _ = nnc.data.digits()
    net = nnc.MLP.load(trained[1])
    assert np.isclose(net.mean.item(), X.mean(dtype=float), rtol=1e-6)
    assert np.isclose(net.std.item(), X.std(dtype=float), rtol=1e-6)


def test_the_same_seed_gives_the_same_model(tmp_path):
    for name, options in (("a", []), ("b", ["--threads", 1]), ("c", ["--seed", 1])):
        run("train", "--epochs", 1, "--out", tmp_path / name, *options)
    a, b, c = (nnc.MLP.load(tmp_path / name).weights[0] for name in "abc")
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_every_option(tmp_path):
    done = run(
        "train", "--data", "digits", "--layers", "784,30,20,10", "--activation", "tanh", "--init", "xavier", "--dtype",
        "float64", "--epochs", 2, "--batch-size", 100, "--lr", 0.05, "--momentum", 0.9, "--seed", 3, "--threads", 1,
        "--out", tmp_path / "m", "--plot", tmp_path / "curves.png",
    )  # fmt: skip
    assert len(accuracies(done.stdout)) == 2
    net = nnc.MLP.load(tmp_path / "m")
    assert net.sizes == (784, 30, 20, 10) and net.activations == ("tanh", "tanh") and net.dtype == np.float64
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "options, printed",
    [
        (["--optimizer", "adam", "--weight-decay", 0.001], "accuracy 0.9"),
        (["--loss", "binary_cross_entropy", "--optimizer", "adam"], "accuracy 0."),
        (["--loss", "squared_error", "--optimizer", "adam", "--lr", 0.01], "best: epoch 2, validation loss 0."),
    ],
)
def test_optimizers_and_losses(tmp_path, options, printed):
    done = run("train", "--epochs", 2, "--out", tmp_path / "m.npz", *options)
    assert printed in done.stdout
    loss = options[1] if options[0] == "--loss" else "cross_entropy"
    assert nnc.MLP.load(tmp_path / "m.npz").loss_name == loss


def test_adam_has_no_momentum():
    assert "--momentum is for --optimizer sgd" in error_of("train", "--optimizer", "adam", "--momentum", 0.9)


def test_a_folder_of_idx_files(tmp_path):
    write_four(tmp_path)  # images of 6 pixels, labels from 0 to 5
    done = run("train", "--data", tmp_path, "--layers", "6,4,6", "--epochs", 3)
    assert len(accuracies(done.stdout)) == 3


@needs_fashion
@pytest.mark.slow
def test_fashion_reaches_088(tmp_path):
    done = run("train", "--data", "fashion", "--epochs", 20)
    assert len(accuracies(done.stdout)) == 20 and max(accuracies(done.stdout)) >= 0.88


def test_what_cannot_be_written_is_refused_before_training(tmp_path):
    assert "there is no folder" in error_of("train", "--out", tmp_path / "nowhere" / "m.npz")
    assert "there is no folder" in error_of("train", "--plot", tmp_path / "nowhere" / "m.png")
    assert "it is a folder" in error_of("train", "--out", tmp_path)


def test_wrong_data(tmp_path):
    assert "there is no folder /nowhere" in error_of("train", "--data", "/nowhere")
    assert "train-images-idx3-ubyte" in error_of("train", "--data", tmp_path)
    write_four(tmp_path)
    assert "--layers starts with 784, but an image has 6 pixels" in error_of("train", "--data", tmp_path)
    done = run("train", "--data", tmp_path, "--layers", "6,4,3", code=1)
    assert re.fullmatch(r"nnc: fit: y\[3\] is 3, .*\n", done.stderr)
    (tmp_path / "t10k-labels-idx1-ubyte").write_text("no labels")
    assert "is not an IDX file" in error_of("train", "--data", tmp_path)


def test_the_plot_needs_matplotlib(tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError")
    message = error_of("train", "--plot", tmp_path / "c.png", env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert message == "nnc: --plot needs matplotlib: pip install matplotlib"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["swim"],
        ["train", "--epochs", "-1"],
        ["train", "--epochs", "many"],
        ["train", "--batch-size", "0"],
        ["train", "--threads", "0"],
        ["train", "--lr", "nan"],
        ["train", "--lr", "-1"],
        ["train", "--layers", "784"],
        ["train", "--layers", "784,x,10"],
        ["train", "--layers", "784,0,10"],
        ["train", "--activation", "swish"],
        ["train", "--no-such-option"],
        ["predict"],
        ["predict", "model.npz"],
        ["export", "model.npz"],
        ["completion", "fish"],
    ],
    ids=" ".join,
)
def test_usage_errors(arguments):
    done = run(*arguments, code=2)
    assert done.stderr.startswith("usage: python -m nnc") and done.stdout == ""


def test_layers_that_are_not_sizes():
    for layers in ("784", "784,x", "784,0,10", ""):
        done = run("train", "--layers", layers, code=2)
        assert "is not a list of sizes, pixels to classes, such as 784,200,10" in done.stderr


def test_help():
    for arguments in (["--help"], ["train", "--help"], ["predict", "--help"], ["info", "--help"], ["export", "--help"]):
        assert run(*arguments).stdout.startswith("usage: python -m nnc")


def test_ctrl_c():
    process = subprocess.Popen(
        [*COMMAND, "train", "--epochs", "1000000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if line.startswith("epoch"):
            break
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == "nnc: interrupted" and "Traceback" not in stderr


def test_a_closed_pipe_ends_training_without_a_traceback():
    process = subprocess.Popen(
        [*COMMAND, "train", "--epochs", "200"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.stdout.close()  # as `| head -1` does
    stderr = process.stderr.read()
    assert process.wait(timeout=60) == 1
    assert "Traceback" not in stderr and "BrokenPipe" not in stderr and "Exception ignored" not in stderr


# ---- predict ---------------------------------------------------------------------------------------------------------


def write_image(path, pixels):
    image = pytest.importorskip("PIL.Image")
    image.fromarray(pixels).save(path)
    return path


def validation_image(i=0):
    _, (X_val, y_val) = nnc.data.digits()
    return X_val[i].reshape(28, 28), int(y_val[i])


def prediction(stdout):
    *lines, last = stdout.splitlines()
    P = {int(label): float(p) for label, p, *_ in map(str.split, lines)}
    return P, int(last.removeprefix("prediction: "))


def test_predict(trained, tmp_path):
    path = trained[1]
    pixels, label = validation_image()
    done = run("predict", path, write_image(tmp_path / "digit.png", pixels))
    P, predicted = prediction(done.stdout)
    right = nnc.MLP.load(path).predict_proba(pixels.reshape(-1, 1))[:, 0]
    assert list(P) == list(range(10))
    assert all(abs(P[k] - right[k]) <= 0.00005 + 1e-6 for k in range(10))
    assert predicted == right.argmax() == label
    assert done.stderr == ""


@pytest.mark.parametrize("form", ["colour", "16 bits", "palette", "larger", "inverted"])
def test_predict_reads_other_images(trained, tmp_path, form):
    image = pytest.importorskip("PIL.Image")
    pixels, label = validation_image()
    options = []
    if form == "colour":
        picture = image.fromarray(pixels).convert("RGB")
    elif form == "16 bits":
        picture = image.fromarray(pixels.astype(np.uint16) * 257)
    elif form == "palette":
        picture = image.fromarray(pixels).convert("P")
    elif form == "larger":
        picture = image.fromarray(pixels).resize((280, 280))
    else:
        picture, options = image.fromarray(255 - pixels), ["--invert"]
    picture.save(tmp_path / "digit.png")
    done = run("predict", trained[1], tmp_path / "digit.png", *options)
    assert prediction(done.stdout)[1] == label and done.stderr == ""


def test_a_dark_digit_on_light_ground_is_warned_about(trained, tmp_path):
    pixels, _ = validation_image()
    done = run("predict", trained[1], write_image(tmp_path / "digit.png", 255 - pixels))
    assert done.stderr.count("\n") == 1 and "--invert" in done.stderr


def test_predict_errors(trained, tmp_path):
    path = trained[1]
    image = write_image(tmp_path / "digit.png", validation_image()[0])
    assert "No such file" in error_of("predict", tmp_path / "none.npz", image)
    assert error_of("predict", path, tmp_path / "none.png") == f"nnc: {tmp_path}/none.png: No such file or directory"
    assert error_of("predict", tmp_path, image) == f"nnc: {tmp_path}: Is a directory"
    text = tmp_path / "text.png"
    text.write_text("just text")
    assert "cannot read" in error_of("predict", path, text)
    assert "is not a model" in error_of("predict", text, image)
    cut = tmp_path / "cut.png"
    cut.write_bytes(image.read_bytes()[:100])
    assert "cannot read" in error_of("predict", path, cut)
    nnc.MLP([5, 3]).save(tmp_path / "small.npz")
    assert "takes 5 numbers" in error_of("predict", tmp_path / "small.npz", image)


def test_predict_needs_pillow(trained, tmp_path):
    (tmp_path / "PIL").mkdir()
    (tmp_path / "PIL" / "__init__.py").write_text("raise ImportError")
    message = error_of("predict", trained[1], "digit.png", env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert message == "nnc: predict needs Pillow: pip install Pillow"


# ---- export ----------------------------------------------------------------------------------------------------------


def test_export(trained, tmp_path):
    _, path = trained
    net, (_, (X, _)) = nnc.MLP.load(path), nnc.data.digits()
    wanted = net.predict_proba(X[:50].T)
    model = path
    for name in ("a.safetensors", "b.onnx", "c.npz", "d.c"):  # each from the one before
        pytest.importorskip({"a": "safetensors", "b": "onnx"}.get(name[0], "numpy"))
        assert run("export", model, tmp_path / name).stdout == f"wrote {tmp_path / name}\n"
        if name != "d.c":
            model = tmp_path / name
            back = nnc.MLP.from_onnx(model) if name == "b.onnx" else nnc.MLP.load(model)
            assert np.array_equal(back.predict_proba(X[:50].T), wanted)
    assert "int predict(const float x[784], float p[10]);" in (tmp_path / "d.c").read_text()


def test_export_errors(trained, tmp_path):
    assert "must end with .onnx, .c, .safetensors, .npz" in error_of("export", trained[1], tmp_path / "net.h5")
    assert "there is no folder" in error_of("export", trained[1], tmp_path / "nowhere" / "net.c")
    assert "No such file" in error_of("export", tmp_path / "none.npz", tmp_path / "net.c")
    (tmp_path / "net.npz").write_bytes(b"no model")
    assert "is not a model" in error_of("export", tmp_path / "net.npz", tmp_path / "net.c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.npz"]


def test_what_a_file_does_not_say_can_be_given_as_an_option(tmp_path):
    numpy_files = pytest.importorskip("safetensors.numpy")
    tensors = {f"{i}.weight": np.ones((4, 4), np.float32) for i in (0, 2)}
    numpy_files.save_file(tensors, tmp_path / "net.safetensors")
    files = tmp_path / "net.safetensors", tmp_path / "net.npz"
    assert "--activation relu" in error_of("export", *files) and not files[1].exists()
    done = run("export", *files, "--activation", "tanh", "--loss", "squared_error")
    assert done.stderr == ""
    net = nnc.MLP.load(files[1])
    assert net.activations == ("tanh",) and net.loss_name == "squared_error"
    assert "activation given, but" in error_of("export", files[1], tmp_path / "net.c", "--activation", "relu")
    pytest.importorskip("onnx")
    assert run("export", files[1], tmp_path / "net.onnx").stderr == ""
    assert "--activation given" in error_of("export", tmp_path / "net.onnx", tmp_path / "a.c", "--activation", "relu")
    assert run("export", tmp_path / "net.onnx", tmp_path / "a.npz", "--loss", "cross_entropy").stderr == ""
    assert nnc.MLP.load(tmp_path / "a.npz").loss_name == "cross_entropy"


# ---- completion ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_options_and_choices(tmp_path):
    pytest.importorskip("shtab")
    (tmp_path / "script").write_text(run("completion", "bash").stdout)
    for words, wanted in [(["nnc", "ex"], "export"), (["nnc", "train", "--act"], "--activation"),
                          (["nnc", "train", "--activation", "ta"], "tanh"), (["nnc", "predict", "scr"], "script")]:
        line = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}"
        code = f'source ./script; {line}; _shtab_nnc nnc "{words[-1]}" "{words[-2]}"; echo "${{COMPREPLY[@]}}"'
        done = subprocess.run(["bash", "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert done.stdout.split() == [wanted], done.stderr


def test_zsh_and_a_missing_shtab(tmp_path):
    pytest.importorskip("shtab")
    assert run("completion", "zsh").stdout.startswith("#compdef nnc")
    (tmp_path / "shtab.py").write_text("raise ImportError('hidden')")
    message = error_of("completion", "bash", env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"})
    assert message == "nnc: completion needs shtab: pip install shtab"


# ---- info ------------------------------------------------------------------------------------------------------------


def test_info():
    shown = dict(line.split(maxsplit=1) for line in run("info").stdout.splitlines())
    assert shown["isa"] == nnc.cpu_info()["isa"] and shown["isa"] in shown["available"]
    assert shown["numpy"] == np.__version__ and shown["python"].startswith("3.")
    assert {"nnc", "threads", "tqdm", "matplotlib", "pillow"} <= set(shown)


@pytest.mark.parametrize("module", ["nnc", "nnc.__main__"])
def test_nothing_is_imported_before_it_is_used(module):
    code = f"import sys, {module}; print([m for m in ('matplotlib', 'PIL', 'tqdm', 'gzip') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.stdout == "[]\n", shown.stderr


def test_import_nnc_does_not_import_zipfile_or_hashlib():
    code = "import sys, numpy; b = set(sys.modules); import nnc; print({'zipfile', 'hashlib'} & set(sys.modules) - b)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.stdout == "set()\n", shown.stderr


# ---- wrong environment variables -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), [("NNC_ISA", "bogus"), ("NNC_NUM_THREADS", "0")])
def test_a_wrong_environment_variable_is_an_error_of_one_line(name, value):
    environment = os.environ | {name: value}
    for arguments in ((), ("info",)):
        assert error_of(*arguments, env=environment).startswith(f"nnc: {name} is '{value}', but")
    script = "import sys; sys.argv[0] = '/usr/bin/nnc'; from nnc.__main__ import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith(f"nnc: {name} is") and done.stderr.count("\n") == 1
    done = subprocess.run([sys.executable, "-c", "import nnc"], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" in done.stderr and f"ImportError: {name} is" in done.stderr
