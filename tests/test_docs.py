"""The documentation: its sessions give the results they show, its links work, every public name is in it."""

import doctest
import importlib
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from test_readme import blocks, run_session

import nnc

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts and "notebooks" not in path.parts)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_sessions(page):
    sessions = blocks(page.read_text(encoding="utf-8"), "python")
    if "sklearn import" in "".join(sessions):
        pytest.importorskip("sklearn")
    if "import onnxruntime" in "".join(sessions):
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
    assert all(">>> " in block for block in sessions), "a block without a session"
    _, report = run_session("\n".join(sessions))
    assert not report, report


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_links_have_targets(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_every_public_name_is_in_the_interface():
    named = set(re.findall(r"\w+", (DOCS / "interface.md").read_text(encoding="utf-8")))
    assert {name for name in nnc.__all__ if not name.startswith("_")} <= named


# test_sklearn.py runs those of nnc.sklearn, which need scikit-learn.
PATHS = [path for path in sorted((ROOT / "nnc").rglob("[!_]*.py")) if ">>> " in path.read_text(encoding="utf-8")]
MODULES = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in PATHS if "sklearn" not in p.parts]


def examples_in(name):
    names = {"nnc": nnc, "np": np}
    return doctest.DocTestFinder().find(importlib.import_module(name), extraglobs=names)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings(name):
    for example in examples_in(name):
        if "onnx" in example.name and not find_spec("onnx"):
            continue
        assert doctest.DocTestRunner().run(example).failed == 0


def test_the_examples_are_found():
    found = [example.name for name in MODULES for example in examples_in(name) if example.examples]
    assert len(found) > 50 and "nnc.mlp.model.MLP.fit" in found


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_the_c_program(tmp_path):
    page = (DOCS / "tutorials" / "c.md").read_text(encoding="utf-8")
    ((program,), (command,)) = blocks(page, "c"), blocks(page, "sh")
    (tmp_path / "program.c").write_text(program)
    command = command.replace("program.c", str(tmp_path / "program.c")).replace("-o program", f"-o {tmp_path}/program")
    subprocess.run(command, shell=True, cwd=ROOT, check=True, timeout=600)
    done = subprocess.run(tmp_path / "program", capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "base, mean loss below 0.1: yes\n"
