"""Builds nnc._engine, the C engine with its Python glue; everything else about the package is in pyproject.toml.

csrc/isa/isa_<name>.c has all kernels for one instruction set, compiled with its own flags (csrc/isa/flags.txt), so that
the rest of the engine runs on the oldest machine. A set that the compiler does not support is left out; NNC_HAVE_...
tells csrc/isa/dispatch.c which sets there are. NNC_WERROR=1 makes warnings errors, NNC_SANITIZE=address,undefined adds
sanitizers, NNC_COVERAGE='--coverage ...' measures coverage (not of the kernels).
"""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from glob import glob
from sysconfig import get_platform
from tempfile import NamedTemporaryFile, TemporaryDirectory

import numpy
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

MACHINE = get_platform().split("-")[-1]
MACHINE = {"amd64": "x86_64", "arm64": "aarch64"}.get(MACHINE, MACHINE)
ROWS = [line.split() for line in open("csrc/isa/flags.txt") if not line.startswith("#")]
ISAS = {name: flags for machine, name, *flags in ROWS if machine in ("any", MACHINE)}

# -std=c11 keeps gcc from fusing multiply and add and from needless exception flags, -fno-math-errno from calling
# sqrt in the C library, -g0 from writing 12 MB of debug information; see also IF_KNOWN.
FLAGS = ["-std=c11", "-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden", "-pthread"]
FLAGS += ["-Wall", "-Wextra", "-Wconversion", "-isystem", numpy.get_include()]
FLAGS += ["-Werror"] * (os.environ.get("NNC_WERROR", "0") != "0")
IF_KNOWN = [["-ffp-exception-behavior=maytrap"], ["-fschedule-insns", "-fsched-pressure"]]
LINK = ["-pthread"]
if os.environ.get("NNC_SANITIZE"):
    LINK += ["-fsanitize=" + os.environ["NNC_SANITIZE"], "-fno-sanitize-recover=all"]
    FLAGS += [*LINK, "-fno-omit-frame-pointer", "-g1", "-O1", "-UNDEBUG", "-fno-wrapv"]
COUNT = os.environ.get("NNC_COVERAGE", "").split()
LINK += ["--coverage"] * bool(COUNT)


class BuildEngine(build_ext):
    def build_extension(self, ext):
        FLAGS.extend(flag for flags in IF_KNOWN if self.knows(flags) for flag in flags)
        isas = {name: flags for name, flags in ISAS.items() if self.knows(flags)}
        have = [f"-DNNC_HAVE_{name.upper()}=1" for name in isas]
        # setuptools compiles one file at a time; this uses all cores, and begins with the files that take longest.
        files = {f"csrc/isa/isa_{name}.c": isas[name] for name in reversed(isas)} | dict.fromkeys(SOURCES, have + COUNT)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            ext.extra_objects = sum(pool.map(self.compile, files, files.values()), [])
        super().build_extension(ext)

    def compile(self, source, flags, folder=None):
        return self.compiler.compile([source], folder or self.build_temp, extra_postargs=FLAGS + flags)

    def knows(self, flags):
        with NamedTemporaryFile("w", suffix=".c") as probe, TemporaryDirectory() as folder, suppress(CompileError):
            return bool(self.compile(probe.name, ["-Werror", *flags], folder))
        return False


SOURCES = [path for folder in ("python", "ops", "runtime", "isa") for path in glob(f"csrc/{folder}/*.c")]
SOURCES = [path for path in SOURCES if not os.path.basename(path).startswith("isa_")]
DEPENDS = ["setup.py", *(path for path in glob("csrc/*/*") + glob("csrc/*.*") if not path.endswith(".md"))]
engine = Extension("nnc._engine", [], depends=DEPENDS, extra_link_args=LINK)
setup(ext_modules=[engine], cmdclass={"build_ext": BuildEngine})
