"""The command line, as `nnc` or `python -m nnc`: train, predict, export, check, info, completion.

Results go to stdout, the progress bar and errors to stderr, an error in one line that starts with `nnc:`.
Exit codes: 0 done, 1 an error, 2 a usage error, 130 Ctrl-C.
"""

import argparse
import importlib
import importlib.metadata
import importlib.util
import inspect
import math
import os
import platform
import re
import sys
import warnings
from io import BytesIO

import numpy as np

import nnc
from nnc import _engine, plot
from nnc.mlp import distributed


class Failure(Exception):
    """An error that the user can fix; its text is the whole message."""


def main(argv=None):
    is_script = os.path.splitext(os.path.basename(sys.argv[0]))[0] == "nnc"
    options = _parser("nnc" if is_script else "python -m nnc").parse_args(argv)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *where: _complain(message, 0)
            code = options.run(options) or 0
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    except BrokenPipeError:
        # The reader of our output has closed it, as in `... | head`. Python flushes stdout once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Failure, ValueError, TypeError, ImportError, OSError, MemoryError) as error:
        return _complain(error, 1)


def _complain(message, code):
    if isinstance(message, OSError) and message.filename and message.strerror:
        message = f"{message.filename}: {message.strerror}"
    print("nnc:", " ".join(str(message).split()) or type(message).__name__, file=sys.stderr)
    return code


# ---- train -----------------------------------------------------------------------------------------------------------


def train(options):
    ranks = None
    try:
        with distributed.ranks(_communicator()) as ranks:
            net, examples, validation, optimizer = ranks.together(lambda: _prepare(options, ranks))
            history = ranks.together(lambda: _fit(options, ranks, net, examples, validation, optimizer))
            ranks.together(lambda: _report(options, net, history) if ranks.rank == 0 else None)
    except BaseException:
        if ranks is None or ranks.rank == 0:
            raise
        return 1  # all ranks have the same error, and the first reports it


def _communicator():
    """That of the processes that mpiexec has started; None for a single process."""
    started = [os.environ[name] for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE") if name in os.environ]
    if not started or started[0] == "1":
        return None
    return _need("mpi4py.MPI", "mpi4py", f"to train on {started[0]} ranks").COMM_WORLD


def _prepare(options, ranks):
    """The net, this rank's share of the training and of the validation images, the optimizer."""
    for path in filter(None, (options.out, options.plot)):
        _check_writable(path)  # now, not after the training
    if options.plot:
        _need("matplotlib", "matplotlib", "--plot")
    if options.threads:
        nnc.set_num_threads(options.threads)
    optimizer = _optimizer(options)
    (X, y), (X_val, y_val) = _data(options.data)
    if options.layers[0] != X.shape[1]:
        raise Failure(f"--layers starts with {options.layers[0]}, but an image has {X.shape[1]} pixels")
    mean, std = _mean_and_std(X)
    net = nnc.MLP(
        options.layers, options.activation, options.init, options.dtype, seed=options.seed, mean=mean, std=std or 1.0,
        loss=options.loss,
    )  # fmt: skip
    of_ranks = f"; {ranks.size} ranks" if ranks.size > 1 else ""
    if ranks.rank == 0:
        print(f"{net!r}; {len(X):,} images, mean {mean:.2f}, std {std:.2f}; {len(X_val):,} for validation{of_ranks}",
              flush=True)  # fmt: skip
    else:
        warnings.simplefilter("ignore")
    X, y, X_val, y_val = (np.array_split(array, ranks.size)[ranks.rank] for array in (X, y, X_val, y_val))
    if options.loss != "cross_entropy":  # whose targets are one-hot here
        y, y_val = nnc.one_hot(y, options.layers[-1]), nnc.one_hot(y_val, options.layers[-1])
    return net, (X.T, y), (X_val.T, y_val), optimizer


def _fit(options, ranks, net, examples, validation, optimizer):
    from tqdm.auto import tqdm

    def report(epoch, history):
        # Through tqdm, which clears its bar while the line is written.
        tqdm.write(f"epoch {epoch + 1:3}  {history.last()}, {history.seconds[-1]:.3f} s", file=sys.stdout)
        sys.stdout.flush()

    return net.fit(
        *examples,
        epochs=options.epochs,
        batch_size=options.batch_size,
        optimizer=optimizer,
        weight_decay=options.weight_decay,
        validation=validation,
        callback=report if ranks.rank == 0 else None,
        keep_best=True,
        comm=ranks.comm,
    )


def _report(options, net, history):
    if history.accuracy:
        best = int(np.argmax(history.accuracy))
        print(
            f"best: epoch {best + 1}, accuracy {history.accuracy[best]:.4f}; {sum(history.seconds):.2f} s of training"
        )
    elif history.validation_loss:
        best = int(np.argmin(history.validation_loss))
        print(
            f"best: epoch {best + 1}, validation loss {history.validation_loss[best]:.4f}; "
            f"{sum(history.seconds):.2f} s of training"
        )
    if options.out:
        net.save(options.out)
        print(f"wrote {options.out}")
    if options.plot:
        plot.history(history).savefig(options.plot, dpi=150)
        print(f"wrote {options.plot}")


def _optimizer(options):
    if options.optimizer == "sgd":
        return nnc.optim.SGD(0.1 if options.lr is None else options.lr, options.momentum)
    kind = next(kind for kind in nnc.optim.__all__ if kind.lower() == options.optimizer)
    if options.momentum:
        raise Failure(f"--momentum is for --optimizer sgd; {kind} has its own settings")
    return getattr(nnc.optim, kind)(*([] if options.lr is None else [options.lr]))


def _data(name):
    if name == "digits":
        return nnc.data.digits()
    if name == "fashion":
        return nnc.data.fashion_mnist()
    if not os.path.isdir(name):
        raise Failure(f"--data must be digits, fashion or a folder with IDX files; there is no folder {name}")
    return nnc.data.mnist(name)


def _mean_and_std(X):
    """Over all pixels of all images (eq. 17.3), from a histogram: X.std() would make a float64 copy of X."""
    counts = sum(np.bincount(X[start : start + 1000].ravel(), minlength=256) for start in range(0, len(X), 1000))
    values = np.arange(256)
    mean = counts @ values / X.size
    return mean, math.sqrt(counts @ (values - mean) ** 2 / X.size)


def _check_writable(path):
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise Failure(f"cannot write {path}: there is no folder {folder}")
    if os.path.isdir(path):
        raise Failure(f"cannot write {path}: it is a folder")
    if not os.access(folder, os.W_OK):
        raise Failure(f"cannot write {path}: no permission to write in {folder}")


def _need(module, package, what):
    try:
        return importlib.import_module(module)
    except ImportError:
        raise Failure(f"{what} needs {package}: pip install {package}") from None


# ---- predict ---------------------------------------------------------------------------------------------------------


def predict(options):
    net = _model(options.model)
    x = _image(options.image, net.sizes[0], options.invert)
    P = net.predict_proba(x[:, None])[:, 0]
    for label, p in enumerate(P):
        print(f"{label:3}  {p:.4f}  {'#' * round(40 * float(p))}".rstrip())
    print(f"prediction: {nnc.predict(P[:, None])[0]}")


_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM")  # Pillow reads others too, some by running other programs
_MOST_PIXELS = 1 << 24  # a small file can hold an image that is larger than the memory
_MOST_PACKED = 1032  # bytes out of one byte of a PNG: the limit of deflate


def _image(path, m, invert):
    """The image as m numbers from 0 to 255, resized if it does not have as many pixels."""
    Image = _need("PIL.Image", "Pillow", "predict")
    side = math.isqrt(m)
    if side * side != m:
        raise Failure(f"the model takes {m} numbers, which is not a square image")
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # nnc has its own limit, below
    with open(path, "rb") as file:
        content = file.read()  # so that Pillow reads no more than there is, whatever the header says
    try:
        with Image.open(BytesIO(content), formats=_FORMATS) as image:
            size, pixels = f"{image.width:,} x {image.height:,} pixels", image.width * image.height
            if pixels > (8 if image.mode == "1" else 1) * _MOST_PACKED * len(content):
                raise Failure(f"cannot read {path}: it claims {size}, more than {len(content):,} bytes can hold")
            if pixels > _MOST_PIXELS:
                raise Failure(f"{path} has {size}: make it smaller first")
            if image.mode.startswith("I"):  # 16 bits: Pillow itself would cut off at 255
                image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
            grey = image.convert("L")
    except (Failure, MemoryError):
        raise
    except Exception as error:  # Pillow can raise almost anything on a damaged image
        raise Failure(f"cannot read {path} as an image: {error}") from None
    if grey.size != (side, side):
        grey = grey.resize((side, side), Image.Resampling.LANCZOS)
    x = np.asarray(grey)
    if invert:
        x = 255 - x
    border = np.concatenate([x[0], x[-1], x[:, 0], x[:, -1]])
    if border.mean() > 127:
        print("nnc: the border of the image is light; the nets here learn light on dark: try --invert", file=sys.stderr)
    return x.reshape(-1)


# ---- export ----------------------------------------------------------------------------------------------------------

_WRITERS = {".onnx": nnc.MLP.to_onnx, ".c": nnc.MLP.to_c, ".safetensors": nnc.MLP.save, ".npz": nnc.MLP.save}


def export(options):
    ending = os.path.splitext(options.out)[1].lower()
    if ending not in _WRITERS:
        raise Failure(f"{options.out} must end with {', '.join(_WRITERS)}: the ending names the format")
    _check_writable(options.out)
    given = {name: getattr(options, name) for name in ("activation", "loss") if getattr(options, name)}
    _WRITERS[ending](_model(options.model, **given), options.out)
    print(f"wrote {options.out}")


def _model(path, **given):
    """The net of a file; `given` are options that the file does not contain."""
    if not path.lower().endswith(".onnx"):
        return nnc.MLP.load(path, **given)
    if "activation" in given:
        raise Failure(f"--activation given, but {path} contains it")
    return nnc.MLP.from_onnx(path, **given)


# ---- completion ------------------------------------------------------------------------------------------------------


def completion(options):
    shtab = _need("shtab", "shtab", "completion")
    print(shtab.complete(_parser("nnc"), options.shell))


# ---- check -----------------------------------------------------------------------------------------------------------


def check(options):
    from .checking.cell_magic import pairs

    path, _, functions = options.code.partition(".py:")
    path = path + ".py" if functions else options.code
    if not os.path.isfile(path):
        raise Failure(f"there is no file {path}")
    names = pairs(options.names) if options.names else {}
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    try:
        if functions:
            what, given = _functions(path, functions.split(","))
            report = nnc.check_derivation(what, cost=options.cost, names=names, **given)
        else:
            with open(path, encoding="utf-8") as file:
                code = file.read()
            space = {"__name__": "__main__", "__file__": path}
            report = nnc.check_derivation(code, cost=options.cost, names=names, namespace=space)
    except SyntaxError as error:
        raise Failure(f"{path}, line {error.lineno}: {error.msg}") from None
    print(report)
    return 0 if report.ok else 1


def _functions(path, names):
    """The functions of a file, and the arguments that it defines for them."""
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise Failure(f"{path} cannot be imported: {type(error).__name__}: {error}") from None
    found, given = [], {}
    for text in names:
        f = module
        for part in text.split("."):
            f = getattr(f, part, None)
        if not callable(f):
            raise Failure(f"there is no function {text} in {path}")
        found.append(f)
        for p in inspect.signature(f).parameters.values():
            if hasattr(module, p.name):
                given[p.name] = getattr(module, p.name)
            elif p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and len(names) == 1:
                raise Failure(f"{text} takes {p.name}, which {path} does not define")
    return found, given


# ---- info ------------------------------------------------------------------------------------------------------------


def info(options):
    lines = {"nnc": _version("nnc-engine"), "python": f"{platform.python_version()} on {platform.machine()}"}
    lines |= nnc.cpu_info()
    lines |= {package: _version(package) for package in ("numpy", "tqdm", "matplotlib", "pillow")}
    for name, value in lines.items():
        print(f"{name:12} {', '.join(map(str, value)) if isinstance(value, (tuple, list)) else value}")


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


# ---- the parser ------------------------------------------------------------------------------------------------------


def _from(kind, low, name):
    """A type for argparse: a finite number from `low` up."""

    def parse(text):
        value = kind(text)
        if not (math.isfinite(value) and value >= low):
            raise ValueError(text)
        return value

    parse.__name__ = name  # argparse: "invalid <name> value"
    return parse


def layers(text):
    if not re.fullmatch(r" *[1-9][0-9]* *(, *[1-9][0-9]* *)+", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of sizes, pixels to classes, such as 784,200,10")
    return [int(size) for size in text.split(",")]


_MODEL = "a net: what train --out wrote, a .safetensors or an .onnx file"
_FILES = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}  # how shtab has each shell complete a path


def _parser(prog):
    count, positive = _from(int, 0, "count"), _from(int, 1, "number (1 or more)")
    rate = _from(float, 0, "number (0 or more)")
    parser = argparse.ArgumentParser(prog=prog, description="A neural network, derived by hand, at full speed.")
    commands = parser.add_subparsers(required=True, metavar="train | predict | export | check | info | completion")

    command = commands.add_parser(
        "train",
        help="train a net on images and print its accuracy on validation data after each epoch",
        description="Train a net on images, which are normalised by their mean and standard deviation. "
        "The weights of the best epoch are kept: the first one with the highest validation accuracy.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.set_defaults(run=train)
    add = command.add_argument
    add("--data", default="digits", metavar="digits|fashion|DIR", help="DIR holds the four IDX files of MNIST's format")
    add("--layers", type=layers, default="784,200,10", help="pixels, hidden layers, classes")
    add("--activation", default="relu", choices=_engine.ACTIVATIONS)
    add("--init", default="kaiming", choices=("kaiming", "xavier", "normal", "uniform"))
    add("--dtype", default="float32", choices=("float32", "float64"))
    add("--epochs", type=count, default=10)
    add("--batch-size", type=positive, default=64)
    add("--optimizer", default="sgd", choices=[kind.lower() for kind in nnc.optim.__all__])
    add("--lr", type=rate, default=None, help="the learning rate; None is 0.1 for sgd, and 0.001 for adam")
    add("--momentum", type=rate, default=0.0, help="of sgd")
    add("--weight-decay", type=rate, default=0.0, metavar="L", help="adds L/2 times the squares of the weights to J")
    add("--loss", default="cross_entropy", choices=_engine.LOSSES)
    add("--seed", type=count, default=0, help="of the weights and of the order of the examples")
    add("--threads", type=positive, default=None, metavar="N", help="by default one for each core")
    add("--out", metavar="model.npz", help="write the net here").complete = _FILES
    add("--plot", metavar="FILE.png", help="draw loss and accuracy per epoch (needs matplotlib)").complete = _FILES

    command = commands.add_parser(
        "predict",
        help="print the probability of each class for one image",
        description="Print the probability of each class for one image (PNG, JPEG, GIF, BMP, TIFF or PPM). It is "
        "converted to grey levels and, if its size differs, resized to that of the training images; its proportions "
        "are not kept. A digit is expected as in MNIST: light on dark, upright, in the middle, with a margin.",
    )
    command.set_defaults(run=predict)
    command.add_argument("model", metavar="MODEL", help=_MODEL).complete = _FILES
    command.add_argument("image", metavar="IMAGE").complete = _FILES
    command.add_argument("--invert", action="store_true", help="for dark ink on light paper")

    command = commands.add_parser(
        "export",
        help="write a net as .onnx, .safetensors, .c or .npz",
        description="Write a net in the format that the ending of OUT names: .onnx for ONNX Runtime and others, "
        ".safetensors for PyTorch, .c for a C program, or .npz.",
    )
    command.set_defaults(run=export)
    command.add_argument("model", metavar="MODEL", help=_MODEL).complete = _FILES
    command.add_argument("out", metavar="OUT").complete = _FILES
    command.add_argument(
        "--activation",
        choices=_engine.ACTIVATIONS,
        help="of the hidden layers, for PyTorch's .safetensors files, which do not say it",
    )
    command.add_argument(
        "--loss",
        choices=_engine.LOSSES,
        help="what the outputs are for, where the file ends with scores and does not say it",
    )

    command = commands.add_parser(
        "check",
        help="judge a derivation written in NumPy, line by line",
        description="Judge a derivation written in NumPy, line by line: a script, or functions of it, which are called "
        "with what the file defines under the names of their parameters. The exit code is 1 if a line is wrong.",
    )
    command.set_defaults(run=check)
    command.add_argument("code", metavar="FILE.py[:FUNCTION[,FUNCTION]]").complete = _FILES
    command.add_argument("--cost", metavar="NAME", help="of the scalar that is differentiated")
    command.add_argument("--names", metavar="NAME=OF,...", help="what is the derivative by what: delta3=Z3")

    command = commands.add_parser("info", help="print what this machine offers, and the versions")
    command.set_defaults(run=info)

    command = commands.add_parser(
        "completion",
        help="print a script with which the shell completes this command line (needs shtab)",
        description='Print a script with which the shell completes nnc. For bash: eval "$(nnc completion bash)" in '
        "~/.bashrc; for zsh: nnc completion zsh > _nnc, in a folder of $fpath.",
    )
    command.set_defaults(run=completion)
    command.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
