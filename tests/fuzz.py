"""Mutated files for the readers: python tests/fuzz.py READER COUNT [SEED]. A file that is not valid must be refused.

Each input is a good file with a few changes: bits, bytes, numbers that are large or negative, pieces cut out, inserted,
repeated or taken from another file. Where a checksum would detect all of these (npz, PNG, gzip), changes are also made
inside, and the checksum is computed again. Input i of a seed is always the same.

A reader must not allocate what a header only claims. The files have a few hundred bytes; the process may take at most
32 MB more address space than at the start, and tracemalloc may see at most a multiple of the file's size.
"""

import gzip
import io
import json
import random
import re
import resource
import struct
import sys
import tempfile
import tracemalloc
import warnings
import zipfile
import zlib
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

import numpy as np

import nnc
import nnc.__main__

MEMORY_LEFT = 32 << 20  # for everything that is allocated after the good files were read
BUFFERS = 1 << 21  # of files and parsers, for any size of file
NUMBERS = [0, 1, 2, 127, 128, 255, 256, 1 << 15, (1 << 16) - 1, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1,
           1 << 40, (1 << 63) - 1, (1 << 64) - 1]  # fmt: skip


# ---- mutations -------------------------------------------------------------------------------------------------------


def mutate(data, rng, others=()):
    """A few changes of the bytes."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at, size = rng.randrange(len(data) + 1), rng.choice((1, 1, 2, 4, 8, 16, 100))
        kind = rng.randrange(8)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(data):
            data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif kind == 2:
            width = rng.choice((1, 2, 4, 8))
            number = rng.choice(NUMBERS) % (1 << 8 * width)
            data[at : at + width] = number.to_bytes(width, rng.choice(("little", "big")))
        elif kind == 3:
            del data[at : at + size]
        elif kind == 4:
            data[at:at] = data[at : at + size] * rng.choice((1, 2, 10))
        elif kind == 5:
            data[at:at] = rng.randbytes(size)
        elif kind == 6 and others:
            other = rng.choice(others)
            start = rng.randrange(len(other))
            data[at : at + size] = other[start : start + size]
        elif kind == 7 and rng.random() < 0.3:
            del data[at:]
    return bytes(data)


def with_other_numbers(text, rng):
    """The text with some of its numbers replaced."""
    return re.sub(r"\d+", lambda m: str(rng.choice(NUMBERS)) if rng.random() < 0.15 else m[0], text)


# ---- the readers: good files, a way to change them, a way to read them -----------------------------------------------


def idx_file(shape=(3, 4, 4), kind=8, dtype=">u1"):
    content = np.arange(np.prod(shape)).astype(dtype).tobytes()
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + content


class Idx:
    suffix, error, factor = "", "load_idx", 1100  # gzip's own limit is 1032
    good = [idx_file(), idx_file((10,), 0x0D, ">f4"), idx_file((2, 1), 0x0E, ">f8"), idx_file((5, 5), 0x0B, ">i2")]

    def mutate(self, data, rng):
        if rng.random() < 0.5:
            return mutate(data, rng, self.good)
        packed = gzip.compress(mutate(data, rng, self.good), mtime=0)
        return mutate(packed, rng) if rng.random() < 0.3 else packed

    def read(self, path):
        nnc.data.load_idx(path)


def net():
    return nnc.MLP([4, 3, 2], "leaky_relu", seed=0, mean=np.arange(4.0), std=2.0)


def file_of(write, name):
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


class Npz:
    suffix, error, factor = ".npz", "load", 8
    good = [file_of(net().save, "a.npz"), file_of(nnc.MLP([2, 2], dtype="f8", seed=0).save, "a.npz")]

    def mutate(self, data, rng):
        if rng.random() < 0.3:
            return mutate(data, rng, self.good)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        for name in rng.sample(sorted(members), rng.choice((1, 1, 2))):
            if rng.random() < 0.4:
                header = with_other_numbers(members[name][10:128].decode("latin1"), rng).encode("latin1")
                members[name] = members[name][:10] + header.ljust(118)[:118] + members[name][128:]
            else:
                members[name] = mutate(members[name], rng, list(members.values()))
        if rng.random() < 0.1:
            members.pop(rng.choice(sorted(members)))
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", rng.choice((zipfile.ZIP_STORED,) * 9 + (zipfile.ZIP_DEFLATED,))) as archive:
            for name, content in members.items():
                archive.writestr(zipfile.ZipInfo(name), content, archive.compression)
        return file.getvalue()

    def read(self, path):
        nnc.MLP.load(path)


class Safetensors:
    suffix, error, factor = ".safetensors", "load", 8

    def __init__(self):
        import safetensors.numpy

        tensors = {"0.weight": np.ones((3, 4), "f"), "0.bias": np.ones(3, "f")}
        self.good = [file_of(net().save, "a.safetensors"), safetensors.numpy.save(tensors)]

    def mutate(self, data, rng):
        if rng.random() < 0.4:
            return mutate(data, rng, self.good)
        (size,) = struct.unpack("<Q", data[:8])
        header, content = data[8 : 8 + size], data[8 + size :]
        if rng.random() < 0.5:
            header = with_other_numbers(header.decode(), rng).encode()
        elif rng.random() < 0.5:
            entries = json.loads(header)
            metadata = entries.get("__metadata__", {})
            for name in metadata:
                if rng.random() < 0.3:
                    metadata[name] = mutate(metadata[name].encode(), rng).decode("latin1")
            header = json.dumps(entries).encode()
        else:
            header = mutate(header, rng)
        return struct.pack("<Q", len(header)) + header + content

    def read(self, path):
        nnc.MLP.load(path)


class Onnx:
    suffix, error, factor = ".onnx", "from_onnx", 8

    def __init__(self):
        import onnx

        self.onnx = onnx
        self.good = [file_of(net().to_onnx, "a.onnx"), file_of(nnc.MLP([2, 2], dtype="f8").to_onnx, "a.onnx")]
        self.operators = ["Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "Relu", "LeakyRelu", "PRelu", "Sigmoid",
                          "Softmax", "Identity", "Cast", "Dropout", "Flatten", "Reshape", "BatchNormalization",
                          "Concat", "Constant", "ArgMax", "Elu", "Where"]  # fmt: skip

    def mutate(self, data, rng):
        if rng.random() < 0.4:
            return mutate(data, rng, self.good)
        model = self.onnx.ModelProto.FromString(data)
        graph = model.graph
        names = [name for node in graph.node for name in (*node.input, *node.output)] + ["", "nowhere"]
        for _ in range(rng.choice((1, 1, 2, 3))):
            node, tensor, kind = rng.choice(graph.node), rng.choice(graph.initializer), rng.randrange(9)
            if kind == 0:
                node.op_type = rng.choice(self.operators)
            elif kind == 1:
                node.input[:] = [rng.choice(names) if rng.random() < 0.5 else name for name in node.input]
            elif kind == 2:
                node.input.append(rng.choice(names))
            elif kind == 3 and tensor.dims:
                tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice([n for n in NUMBERS if n < 1 << 63])
            elif kind == 4:
                tensor.data_type = rng.randrange(24)
            elif kind == 5:
                tensor.raw_data = mutate(tensor.raw_data, rng)
            elif kind == 6 and node.attribute:
                attribute = rng.choice(node.attribute)
                attribute.i = rng.choice((-1, 0, 1, 2, 1 << 40))
                attribute.f = rng.choice((0.0, -1.0, 1e38, float("nan")))
            elif kind == 7:
                del node.input[rng.randrange(len(node.input) + 1) :]
            elif kind == 8:
                graph.node.add().CopyFrom(node)
        return model.SerializeToString()

    def read(self, path):
        nnc.MLP.from_onnx(path)


class Png:
    suffix, error, factor = ".png", "cannot read|pixels: make it smaller", 8

    def __init__(self):
        from PIL import Image

        ramp = np.arange(64, dtype=np.uint8).reshape(8, 8)
        self.good = []
        for image in (Image.fromarray(ramp), Image.fromarray(np.stack([ramp] * 4, axis=-1)),
                      Image.fromarray(ramp.astype(np.uint16) * 900), Image.fromarray(ramp > 30),
                      Image.fromarray(ramp).convert("P")):  # fmt: skip
            file = io.BytesIO()
            image.save(file, "PNG")
            self.good.append(file.getvalue())
        self.model = Path(tempfile.mkdtemp()) / "model.npz"
        nnc.MLP([16, 2], seed=0).save(self.model)

    def mutate(self, data, rng):
        if rng.random() < 0.3:
            return mutate(data, rng, self.good)
        chunks, at = [], 8
        while at < len(data):
            (size,) = struct.unpack(">I", data[at : at + 4])
            chunks.append([data[at + 4 : at + 8], data[at + 8 : at + 8 + size]])
            at += size + 12
        for chunk in rng.sample(chunks, rng.choice((1, 1, 2))):
            if chunk[0] == b"IDAT" and rng.random() < 0.5:
                chunk[1] = zlib.compress(mutate(zlib.decompress(chunk[1]), rng))
            else:
                chunk[1] = mutate(chunk[1], rng)
        if rng.random() < 0.1:
            rng.shuffle(chunks)
        if rng.random() < 0.1:
            kinds = (b"tRNS", b"gAMA", b"zTXt", b"iCCP", b"acTL", b"fdAT", b"pHYs", b"eXIf", b"iTXt", b"cHRM")
            chunks.insert(rng.randrange(len(chunks) + 1), [rng.choice(kinds), rng.randbytes(rng.randrange(40))])
        packed = (struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in chunks)
        return data[:8] + b"".join(packed)

    def read(self, path):
        """As the command line does it: an error is one line."""
        stderr = io.StringIO()
        with redirect_stdout(io.StringIO()), redirect_stderr(stderr):
            code = nnc.__main__.main(["predict", str(self.model), str(path)])
        if code:
            assert stderr.getvalue().count("\n") == 1, stderr.getvalue()
            raise ValueError(stderr.getvalue())


READERS = {"idx": Idx, "npz": Npz, "safetensors": Safetensors, "onnx": Onnx, "png": Png}


# ---- the run ---------------------------------------------------------------------------------------------------------


def run(name, count, seed):
    reader, refused, highest = READERS[name](), 0, 0
    folder = Path("/dev/shm" if Path("/dev/shm").is_dir() else tempfile.gettempdir())
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(dir=folder) as folder:
        path = Path(folder) / f"input{reader.suffix}"
        for data in reader.good:
            path.write_bytes(data)
            reader.read(path)
        path.write_bytes(b"not a valid file")
        with suppress(ValueError):
            reader.read(path)  # what is imported late, for good files or bad ones, is imported now
        with open("/proc/self/statm") as status:
            size = int(status.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY_LEFT, resource.RLIM_INFINITY))
        for i in range(count):
            is_traced = i % 10 == 0  # tracing takes longer than most readers do
            rng = random.Random(f"{seed} {i}")
            data = reader.mutate(rng.choice(reader.good), rng)
            path.write_bytes(data)
            if is_traced:
                tracemalloc.start()
            try:
                reader.read(path)
            except ValueError as error:
                refused += 1
                if not re.search(reader.error, str(error)):
                    raise AssertionError(f"{name} {seed} {i}: {error}") from error
            except BaseException:
                print(f"{name}, seed {seed}, input {i}: {data!r}", file=sys.stderr)
                raise
            if is_traced:
                _, peak = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                highest = max(highest, peak)
                assert peak < BUFFERS + reader.factor * len(data), f"{name} {seed} {i}: {peak} bytes for {len(data)}"
    print(f"{name}: {count} inputs, {refused} refused, {count - refused} read; at most {highest:,} bytes traced")


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
