"""The net as a C file: compiled with every warning an error, without a library, and compared with the net."""

import ctypes
import shutil
import subprocess
import sys

import numpy as np
import pytest
from engine_rows import ACTIVATIONS, ELEMENTWISE_LOSSES

import nnc

COMPILERS = [compiler for compiler in ("gcc", "clang") if shutil.which(compiler)]
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wmissing-prototypes",
          "-Wdouble-promotion"]  # fmt: skip
pytestmark = pytest.mark.skipif(not COMPILERS or sys.platform == "win32", reason="needs gcc or clang")


def compile_predict(path, compiler=COMPILERS[0] if COMPILERS else None, *flags):
    """The file's `predict`, compiled to a library that links no other: X (m, r) to P (n, r) and labels (r,)."""
    library = path.with_suffix(f".{compiler}{''.join(flags)}.so")
    command = [compiler, *STRICT, *(flags or ["-O2"]), "-fPIC", "-shared", "-nostdlib", "-Wl,--no-undefined"]
    done = subprocess.run([*command, path, "-o", library], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    function = ctypes.CDLL(str(library)).predict

    def predict(X, n):
        rows, P = np.ascontiguousarray(X.T), np.empty((X.shape[1], n), X.dtype)
        return P.T, np.array([function(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(p.ctypes.data))
                              for x, p in zip(rows, P, strict=True)])  # fmt: skip

    return predict


def make_net(sizes, activation, dtype, **scale):
    net = nnc.MLP(sizes, activation, "xavier", dtype, seed=1, slope=0.2, **scale)
    for b in net.biases:
        b[...] = np.random.default_rng(2).standard_normal(b.shape)
    return net


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize(
    "sizes, activation, scale",
    [
        ((20, 9, 8, 5), "relu", {}),
        ((20, 9, 8, 5), "leaky_relu", dict(mean=0.5, std=3.0)),
        ((20, 30, 8, 5), "sigmoid", dict(mean=np.arange(20.0), std=2.0)),
        ((20, 9, 8, 5), "tanh", dict(std=np.linspace(1, 3, 20))),
        ((20, 9, 30, 7, 5), ("identity", "tanh", "identity"), {}),
        ((7, 5), (), {}),
        ((7, 1), (), dict(mean=1.0)),
        ((1, 17, 2), "relu", {}),
    ],
)
def test_the_file_computes_what_the_net_does(tmp_path, dtype, compiler, sizes, activation, scale):
    net = make_net(sizes, activation, dtype, **scale)
    net.to_c(tmp_path / "net.c")
    X = (np.random.default_rng(0).standard_normal((sizes[0], 200)) * 3).astype(dtype)
    P, labels = compile_predict(tmp_path / "net.c", compiler)(X, sizes[-1])
    assert np.abs(P - net.predict_proba(X)).max() < 32 * np.finfo(dtype).eps  # scores of about 5, each within some eps
    assert np.array_equal(labels, net.predict(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", ELEMENTWISE_LOSSES)
def test_nets_of_the_other_losses(tmp_path, dtype, loss):
    for sizes, activation in [((20, 9, 3), "relu"), ((7, 1), ())]:
        net = make_net(sizes, activation, dtype, mean=0.5, loss=loss)
        net.to_c(tmp_path / "net.c")
        assert "    void predict(const " in (tmp_path / "net.c").read_text()
        X = np.random.default_rng(0).standard_normal((sizes[0], 200)).astype(dtype)
        P, _ = compile_predict(tmp_path / "net.c", COMPILERS[0], f"-O{len(sizes)}")(X, sizes[-1])
        mine = net.predict_proba(X)
        assert (np.abs(P - mine) < 64 * np.finfo(dtype).eps * np.maximum(1, np.abs(mine))).all()


def test_a_trained_net_on_images(tmp_path):
    (X, y), (X_val, _) = nnc.data.digits()
    net = nnc.MLP([784, 50, 10], mean=X.mean(), std=X.std(), seed=0)
    net.fit(X.T, y, epochs=2, progress=False)
    net.to_c(tmp_path / "net.c")
    P, labels = compile_predict(tmp_path / "net.c")(X_val.T.astype(np.float32), 10)
    assert np.abs(P - net.predict_proba(X_val.T)).max() < 2e-6
    assert np.array_equal(labels, net.predict(X_val.T))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_its_functions_are_exact_to_the_last_digits(tmp_path, dtype):
    """tanh, sigmoid and the softmax of one score and 0, against NumPy's in long double."""
    z = np.concatenate([np.linspace(-40, 40, 4001), np.linspace(-1, 1, 2001), [1e-30, -1e-30, 0, 800, -800]])
    z = z.astype(dtype)
    eps, exact = np.finfo(dtype).eps, z.astype(np.longdouble)
    one, two = (lambda n, m: np.ones((n, m))), (lambda n, m: np.array([[1.0], [0]]))
    net = nnc.MLP([1, 2], (), two, dtype)
    net.to_c(tmp_path / "softmax.c")
    P, _ = compile_predict(tmp_path / "softmax.c")(z[None], 2)
    sigmoid = np.where(exact < 0, np.exp(exact), 1) / (1 + np.exp(-abs(exact)))
    assert (abs(P[0] - sigmoid) <= 4 * eps * sigmoid + np.finfo(dtype).smallest_subnormal).all()
    # The softmax of f(z) and 0 is sigmoid(f(z)), with the slope Q (1 - Q): it shows an error of f times this.
    for name, f in (("tanh", np.tanh(exact)), ("sigmoid", sigmoid), ("relu", np.maximum(exact, 0))):
        net = nnc.MLP([1, 1, 2], name, one, dtype)
        net.weights[1][...] = [[1.0], [0]]
        net.to_c(tmp_path / f"{name}.c")
        P, _ = compile_predict(tmp_path / f"{name}.c")(z[None], 2)
        Q = 1 / (1 + np.exp(-f))
        assert (abs(P[0] - Q) <= 6 * eps * np.maximum(1, abs(f)) * Q * (1 - Q) + 4 * eps * Q).all()


def test_numbers_are_written_exactly(tmp_path):
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        tiny, huge = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
        b = rng.standard_normal(200) * 10.0 ** rng.integers(-30, 30, 200)
        b = np.concatenate([b, [tiny, -tiny, huge, 0, -0.0]])
        net = nnc.MLP([1, len(b)], (), lambda n, m: np.zeros((n, m)), dtype)
        net.biases[0][:, 0] = b
        net.to_c(tmp_path / "net.c")
        function = "\nconst real *numbers(void);\nconst real *numbers(void) { return b1; }\n"
        (tmp_path / "net.c").write_text((tmp_path / "net.c").read_text() + function)
        library = tmp_path / f"{np.dtype(dtype)}.so"
        subprocess.run([COMPILERS[0], *STRICT, "-shared", "-fPIC", tmp_path / "net.c", "-o", library], check=True)
        function = ctypes.CDLL(str(library)).numbers
        function.restype = ctypes.POINTER(np.ctypeslib.as_ctypes_type(dtype))
        assert np.ctypeslib.as_array(function(), (len(b),)).tobytes() == net.biases[0].tobytes()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_and_infinity(tmp_path, activation):
    net = make_net((3, 4, 2), activation, np.float32)
    net.to_c(tmp_path / "net.c")
    X = np.array([[np.nan, 1], [0, np.nan], [0, 0]], np.float32)
    P, labels = compile_predict(tmp_path / "net.c")(X, 2)
    assert np.isnan(P).all() and list(labels) == [-1, -1]
    for where in ("weights", "biases"):
        broken = make_net((3, 4, 2), "relu", np.float32)
        getattr(broken, where)[1][0, 0] = np.inf
        with pytest.raises(ValueError, match=rf"to_c: net.{where}\[1\] is not finite"):
            broken.to_c(tmp_path / "net.c")
    assert compile_predict(tmp_path / "net.c", COMPILERS[0], "-O0")  # the old file is still complete


@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_undefined_behaviour(tmp_path, compiler):
    """Under the sanitizers, at sizes that are not multiples of 8, with two nets in one program."""
    for i, (sizes, activation) in enumerate([((19, 9, 3), "tanh"), ((3, 2), ())]):
        make_net(sizes, activation, np.float32, mean=1.0).to_c(tmp_path / f"net{i}.c")
    main = """
#include <stdio.h>
int first(const float *x, float *p);
int second(const float *x, float *p);
int main(void) {
    float x[19] = {1, 2, 3}, p[3];
    const int label = first(x, p);
    printf("%d %.5f %.5f %.5f", label, (double)p[0], (double)p[1], (double)p[2]);
    printf(" %d\\n", second(x, p));
    return 0;
}
"""
    (tmp_path / "main.c").write_text(main)
    command = [compiler, *STRICT, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    for i, name in enumerate(("first", "second")):
        files = [tmp_path / f"net{i}.c", "-o", tmp_path / f"{i}.o"]
        subprocess.run([*command, "-c", f"-Dpredict={name}", *files], check=True)
    program = tmp_path / "program"
    subprocess.run([*command, tmp_path / "main.c", tmp_path / "0.o", tmp_path / "1.o", "-o", program], check=True)
    label, *P, other = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
    x = np.zeros((19, 1), np.float32)
    x[:3, 0] = 1, 2, 3
    nets = [make_net(sizes, a, np.float32, mean=1.0) for sizes, a in (((19, 9, 3), "tanh"), ((3, 2), ()))]
    assert np.allclose(np.array(P, float), nets[0].predict_proba(x)[:, 0], atol=2e-5)
    assert (int(label), int(other)) == (nets[0].predict(x)[0], nets[1].predict(x[:3])[0])
