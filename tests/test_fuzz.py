"""The readers on mutated files (fuzz.py): no crash, memory of a few times the file, only documented errors."""

import gzip
import os
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import pytest

import nnc
from nnc.__main__ import main

FUZZ = Path(__file__).with_name("fuzz.py")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limit on memory")


@pytest.mark.parametrize(
    "reader, library, count",
    [("idx", "numpy", 1000), ("npz", "numpy", 300), ("safetensors", "safetensors", 1000), ("onnx", "onnx", 1000),
     ("png", "PIL", 100)],
)  # fmt: skip
def test_mutated_files(reader, library, count):
    pytest.importorskip(library)
    done = subprocess.run([sys.executable, FUZZ, reader, str(count)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    read = int(done.stdout.split(" read")[0].split()[-1])
    assert 0.01 * count < read < 0.9 * count, done.stdout  # some files are still valid; most are not


def test_a_gzip_bomb_is_read_no_further_than_its_header_says(tmp_path):
    header = bytes([0, 0, 8, 1]) + (1000).to_bytes(4, "big")
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(header + bytes(10**8)))
    with pytest.raises(ValueError, match="goes on after them"):
        nnc.data.load_idx(tmp_path / "bomb.gz")


def test_a_huge_picture_is_an_error_before_it_is_decompressed(tmp_path, capsys):
    Image = pytest.importorskip("PIL.Image")
    nnc.MLP([16, 2], seed=0).save(tmp_path / "net.npz")
    for side in (5000, 20000):
        Image.new("1", (side, side)).save(tmp_path / "bomb.png")
        assert os.path.getsize(tmp_path / "bomb.png") < 1 << 16
        assert main(["predict", str(tmp_path / "net.npz"), str(tmp_path / "bomb.png")]) == 1
        message = capsys.readouterr().err
        assert message.count("\n") == 1 and ("make it smaller first" in message or "cannot read" in message)


def test_an_index_error_in_pillow_is_a_message_of_one_line(tmp_path, capsys):
    Image = pytest.importorskip("PIL.Image")
    nnc.MLP([16, 2], seed=0).save(tmp_path / "net.npz")
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    content, profile = (tmp_path / "a.png").read_bytes(), b"iCCP" + b"\xff" * 23  # a name that never ends
    chunk = (23).to_bytes(4, "big") + profile + zlib.crc32(profile).to_bytes(4, "big")
    end = content.rindex(b"IEND") - 4
    (tmp_path / "a.png").write_bytes(content[:end] + chunk + content[end:])
    main(["predict", str(tmp_path / "net.npz"), str(tmp_path / "a.png")])
    assert capsys.readouterr().err.count("\n") <= 1


def test_pictures_that_need_another_program_are_an_error(tmp_path, capsys):
    pytest.importorskip("PIL")
    nnc.MLP([16, 2], seed=0).save(tmp_path / "net.npz")
    (tmp_path / "page.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n")
    assert main(["predict", str(tmp_path / "net.npz"), str(tmp_path / "page.eps")]) == 1
    assert "cannot identify image file" in capsys.readouterr().err


@pytest.mark.parametrize("name, library", [("npz", "numpy"), ("safetensors", "safetensors"), ("onnx", "onnx")])
def test_reading_a_model_takes_a_small_multiple_of_its_size_in_memory(tmp_path, name, library):
    pytest.importorskip(library)
    net, path = nnc.MLP([784, 200, 10], seed=0), tmp_path / f"net.{name}"
    write, read = (net.to_onnx, nnc.MLP.from_onnx) if name == "onnx" else (net.save, nnc.MLP.load)
    write(path)
    read(path)  # lazy imports happen here, before memory is traced
    tracemalloc.start()
    read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * os.path.getsize(path), peak / os.path.getsize(path)
    path.write_bytes(path.read_bytes()[:-9])
    tracemalloc.start()
    with pytest.raises(ValueError):
        read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * os.path.getsize(path), peak / os.path.getsize(path)
