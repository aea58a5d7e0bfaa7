"""The engine without Python: builds and runs the plain C program in tests/c, with gcc and clang, under ThreadSanitizer,
for another processor in an emulator, and for Windows under Wine; for macOS it is only compiled."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).with_name("c")

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")


def make(folder, *arguments):
    command = ["make", "-C", str(HERE), "-j2", f"BUILD={folder}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done.stdout


def passed(output):
    return [line for line in output.splitlines() if line.startswith("ok ")]


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_every_check_holds(tmp_path, compiler):
    need(compiler)
    output = make(tmp_path, f"CC={compiler}")
    assert len(passed(output)) > 150 and "\n0 failures" in output


def test_the_checks_hold_for_the_widest_instructions(tmp_path):
    need("gcc")
    output = make(tmp_path, "ARGS=--light widest")
    assert len(passed(output)) > 60 and "\n0 failures" in output


@pytest.mark.slow
def test_thread_sanitizer_finds_no_race(tmp_path):
    need("gcc")
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    build = ["gcc", "-fsanitize=thread", str(probe), "-o", str(tmp_path / "probe")]
    if subprocess.run(build, capture_output=True).returncode or subprocess.run([tmp_path / "probe"]).returncode:
        pytest.skip("the compiler has no ThreadSanitizer")
    # Under ThreadSanitizer a forked child must not start threads.
    output = make(tmp_path, "SANITIZE=thread", "ARGS=--light --no-fork widest")
    assert "\n0 failures" in output and "WARNING: ThreadSanitizer" not in output


@pytest.mark.slow
def test_neon_in_an_emulator(tmp_path):
    need("aarch64-linux-gnu-gcc", "qemu-aarch64")
    cross = ["CC=aarch64-linux-gnu-gcc", "LDFLAGS=-static", "RUN=qemu-aarch64"]
    output = make(tmp_path, *cross, "ARGS=--light --no-fork neon")  # the emulator cannot fork while threads run
    assert "neon" in output and "\n0 failures" in output


@pytest.mark.slow
def test_windows_under_wine(tmp_path):
    need("x86_64-w64-mingw32-gcc", "wine")
    os.environ.update(WINEDEBUG="-all", WINEPREFIX=str(tmp_path / "wine"))
    cross = ["CC=x86_64-w64-mingw32-gcc", "LDFLAGS=-static", "RUN=wine"]
    output = make(tmp_path, *cross, "ARGS=--light --no-fork base avx2")
    assert len(passed(output)) > 60 and "\n0 failures" in output.replace("\r", "")


@pytest.mark.slow
def test_it_compiles_for_macos(tmp_path):
    pytest.importorskip("ziglang")
    compiler = f"{sys.executable} -m ziglang cc -target aarch64-macos"
    make(tmp_path, f"CC={compiler}", "MACHINE=aarch64", f"{tmp_path}/check")
