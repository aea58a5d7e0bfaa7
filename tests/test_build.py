"""What is built and shipped: the sdist, the wheel, the instruction sets."""

import bisect
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import nnc

ROOT = Path(__file__).parents[1]
ISAS = nnc.cpu_info()["available"]


def run(*command, **options):
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=1200, **options)
    assert result.returncode == 0, f"{command}\n{result.stdout[-4000:]}\n{result.stderr[-4000:]}"
    return result.stdout


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, timeout=120
    )


# ---- packages --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The sources without anything that was built from them."""
    folder = tmp_path_factory.mktemp("source") / "nnc"
    unwanted = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "*.so", "__pycache__", "out")
    return Path(shutil.copytree(ROOT, folder, ignore=unwanted))


@pytest.fixture(scope="module")
def sdist(copy):
    run(sys.executable, "-m", "build", "--sdist", "--outdir", copy / "dist", copy)
    (path,) = (copy / "dist").glob("*.tar.gz")
    return path


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-cache-dir", "--wheel-dir", folder, sdist)
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_sdist_has_every_source(copy, sdist):
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    wanted = [
        path.relative_to(copy).as_posix()
        for folder in ("csrc", "nnc", "tests", "bench", "notebooks")
        for path in (copy / folder).rglob("*")
        if path.is_file()
    ]
    assert any(path.endswith(".inc") for path in wanted)
    assert not [path for path in [*wanted, "setup.py", "pyproject.toml", "LICENSE", "README.md"] if path not in inside]


@pytest.mark.slow
def test_wheel_is_small_and_whole(wheel):
    assert wheel.stat().st_size < 3e6
    names = zipfile.ZipFile(wheel).namelist()
    package = {path.name for path in (ROOT / "nnc").iterdir() if path.suffix in (".py", ".pyi", ".npz", ".typed")}
    assert {"py.typed", "digits.npz"} <= package
    assert not [name for name in package if f"nnc/{name}" not in names]
    assert not [name for name in names if name.startswith(("csrc", "tests")) or name.endswith((".c", ".h", ".inc"))]


@pytest.mark.slow
def test_wheel_from_sdist_runs_in_an_empty_environment(wheel, tmp_path):
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    binary = tmp_path / "venv" / "bin" / "python"
    run(binary, "-m", "pip", "install", "--quiet", wheel)
    code = "import nnc, numpy as np; (X, y), _ = nnc.data.digits(); print(X.shape, nnc.relu(np.array([-1.0, 2.0])))"
    assert run(binary, "-c", code, cwd=tmp_path) == "(4000, 784) [0. 2.]\n"


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="makes a manylinux wheel")
def test_the_manylinux_wheel_needs_no_compiler(copy, tmp_path):
    """The wheel in an empty environment whose PATH has no compiler: import, training, the first notebook."""
    tools, target = tmp_path / "tools", tmp_path / "venv"
    run("make", "-C", copy, "wheel", f"PYTHONS={sys.executable}", f"PYTHON={sys.executable}", f"VENV={tools}")
    (wheel,) = (copy / "dist").glob("*manylinux*.whl")
    assert wheel.stat().st_size < 3e6
    run(sys.executable, "-m", "venv", target)
    environment = {"PATH": str(target / "bin"), "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    assert not [name for name in ("cc", "gcc", "clang", "c99", "ld") if shutil.which(name, path=environment["PATH"])]
    network = {name: value for name, value in os.environ.items() if "proxy" in name.lower() or "PIP_" in name}
    options = dict(cwd=tmp_path, env=environment | network)
    run(target / "bin" / "python", "-m", "pip", "install", "--quiet", f"{wheel}[notebooks]", "nbclient", **options)
    assert "accuracy" in run(target / "bin" / "nnc", "train", "--epochs", "1", "--out", "net.npz", **options)
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns("pictures"))
    run(target / "bin" / "jupyter", "execute", "notebooks/01_scores.ipynb", **options)


@pytest.mark.slow
@pytest.mark.skipif("avx512" not in ISAS, reason="needs a machine with AVX-512")
def test_a_compiler_without_avx512_builds_the_rest(copy, tmp_path):
    shutil.rmtree(copy / "build", ignore_errors=True)  # what another test has built there would be reused
    compiler = tmp_path / "old-cc"
    compiler.write_text('#!/bin/sh\ncase " $* " in *" -mavx512f "*) exit 1;; esac\nexec cc "$@"\n')
    compiler.chmod(0o755)
    target = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-cache-dir", "--target", target, copy,
        env=os.environ | {"CC": str(compiler), "LDSHARED": "cc -shared"})  # fmt: skip
    code = "import nnc; print(nnc.__file__, *nnc.cpu_info()['available'])"
    environment = os.environ | {"PYTHONPATH": str(target)}
    file, *available = run(sys.executable, "-c", code, cwd=tmp_path, env=environment).split()
    assert file.startswith(str(target)) and available == ["base", "avx2"]


# ---- instruction sets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["avx1024", "AVX2", " base", "none"])
def test_an_impossible_isa_fails_at_import_and_the_available_ones_are_named(name):
    result = python("import nnc", NNC_ISA=name)
    assert result.returncode == 1
    assert f"ImportError: NNC_ISA is '{name}'" in result.stderr
    assert all(repr(isa) in result.stderr for isa in ISAS)


def test_isa_is_chosen_by_the_environment():
    for name in (*ISAS, ""):
        result = python("import nnc; print(nnc.cpu_info()['isa'])", NNC_ISA=name)
        assert result.stdout.split() == [name or ISAS[-1]]


EVERYTHING = """
import sys
import numpy as np
from nnc import _engine as engine

rng, results = np.random.default_rng(0), {}
for dtype in "f4", "f8":
    A, B, b = (rng.standard_normal(shape).astype(dtype) for shape in ((37, 91), (91, 53), (37, 1)))
    Z, y = rng.standard_normal((11, 203)).astype(dtype) * 8, rng.integers(0, 11, 203)
    P, x = engine.softmax(Z, axis=0), np.linspace(-30, 30, 1001).astype(dtype)
    for name in "relu", "exp", "tanh", "sigmoid":
        results[f"{name} {dtype}"] = getattr(engine, name)(x)
    results["log " + dtype] = engine.log(np.abs(x))
    results["matmul " + dtype] = engine.matmul(A, B)
    results["linear " + dtype] = engine.linear(A, B, b)
    results["row " + dtype] = engine.matmul(A[0], B)
    results["column " + dtype] = engine.matmul(A, B[:, 0])
    results["db " + dtype] = engine.add_bias_backward(A)
    results["softmax " + dtype] = P
    results["log_softmax " + dtype] = engine.log_softmax(Z, axis=0)
    results["loss " + dtype] = engine.softmax_cross_entropy(Z, y)
    results["dZ " + dtype] = engine.softmax_cross_entropy_recompute_backward(np.ones(203, dtype), Z, y)
    W, zero, one = np.ascontiguousarray(A[:11, :11] / 10), np.zeros((11, 1), dtype), np.ones(1, dtype)
    fit = engine.Fit([W], [zero.copy()], (), 0.01, zero[0], one, Z, y, 16, 0.01, 0.5, True, 1)
    results["losses " + dtype] = np.array([loss for loss, _ in fit.epochs(3)])
    results["W " + dtype] = W
    with np.errstate(all="raise"):  # a quiet NaN raises nothing, in whole vectors and in the remainder
        for ufunc in [u for u in vars(engine).values() if isinstance(u, np.ufunc) and u.signature is None]:
            for n in 1, 3, 16, 37:
                assert np.isnan(ufunc(*[np.full(n, np.nan, dtype)] * ufunc.nin)).all(), ufunc
results["subnormal f4"] = engine.relu(np.array([1e-45], "f4"))
np.savez(sys.argv[1], **results)
"""


def results_of(isa, folder):
    file = folder / f"{isa}.npz"
    run(sys.executable, "-c", EVERYTHING, file, env=os.environ | {"NNC_ISA": isa})
    return np.load(file)


@pytest.mark.skipif(len(ISAS) < 2, reason="one instruction set only")
def test_every_isa_computes_the_same(tmp_path):
    base = results_of("base", tmp_path)
    assert base["subnormal f4"][0] > 0
    for isa in ISAS[1:]:
        other = results_of(isa, tmp_path)
        for name in base.files:
            eps = np.finfo(base[name].dtype if name[-2:] != "f4" else "f4").eps
            # A sum of k = 91 products differs by at most 2 k eps sum |a b|; single functions are within 2 ULP each.
            sums = {"matmul", "linear", "row", "column", "db", "losses", "W"}
            slack = 2 * 91 * eps * 91 if name.split()[0] in sums else 16 * eps
            scale = np.abs(base[name]).max() if name.split()[0] in {"dZ", "loss", "log_softmax"} else 1
            np.testing.assert_allclose(
                other[name], base[name], rtol=16 * eps, atol=slack * scale, err_msg=f"{isa}: {name}"
            )


def functions_by_source(library):
    """(address, source file) of every function, in the order of the addresses; the file is None for a global one."""
    source, found = None, []
    for line in run("objdump", "--syms", library).splitlines():
        if match := re.match(r"([0-9a-f]+) (.).....([fF]) \S+\s+[0-9a-f]+\s+(?:\.hidden )?(\S+)$", line):
            address, scope, kind, name = match.groups()
            if kind == "f":
                source = name
            else:
                found.append((int(address, 16), source if scope == "l" else None))
    return sorted(found, key=lambda entry: entry[0])


@pytest.mark.skipif(platform.machine() != "x86_64" or not shutil.which("objdump"), reason="needs x86-64 and objdump")
def test_only_an_isas_own_file_uses_its_registers():
    functions = functions_by_source(nnc._engine.__file__)
    starts = [address for address, _ in functions]
    assert {source for _, source in functions} >= {"isa_base.c", "matmul.c", "pool.c", "ufuncs.c", None}
    users = {"ymm": set(), "zmm": set()}
    for line in run("objdump", "-d", "--no-show-raw-insn", nnc._engine.__file__).splitlines():
        if match := re.match(r"\s*([0-9a-f]+):\t.*%([yz]mm)\d", line):
            users[match[2]].add(functions[bisect.bisect(starts, int(match[1], 16)) - 1][1])
    assert users["ymm"] <= {"isa_avx2.c", "isa_avx512.c", "isa_amx.c"} and users["zmm"] <= {"isa_avx512.c", "isa_amx.c"}
    assert ("avx2" in ISAS) <= ("isa_avx2.c" in users["ymm"]) and ("avx512" in ISAS) <= bool(users["zmm"])
