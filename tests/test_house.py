"""The sources: layers of includes and imports, length of lines, one version, no paths of a developer's machine."""

import ast
import re
from pathlib import Path

import pytest

import nnc

ROOT = Path(__file__).parent.parent

# A folder may include its own files and those of these folders; all may include nnc.h and its .inc files.
BELOW = {
    "python": {"ops"},
    "ops": {"runtime", "isa", "kernels", "simd"},
    "runtime": set(),
    "isa": {"runtime", "kernels", "simd"},
    "kernels": {"simd"},
    "simd": set(),
}
PUBLIC = {"nnc.h", "nnc_typed.inc", "each_dtype.inc", "elementwise.inc", "activations.inc", "losses.inc",
          "optimizers.inc"}  # fmt: skip

# A template is included by each_dtype.inc.
INCLUDE = r'^\s*#\s*(?:include|define NNC_TEMPLATE)\s+(?:"([^"]+)"|<([^>]+)>)'

# Written in pieces, so that this file does not contain them.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
LOCAL_PATHS = re.compile(r"/wo" r"rk/|/tm" r"p/w|/ro" r"ot/|\bpy" r"env/versions/\d|\.li" r"brary\b")


def files(*folders, suffixes):
    """The project's files with these suffixes, without built and hidden files."""
    found = []
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")) if (ROOT / folder).is_dir() else [ROOT / folder]:
            parts = path.relative_to(ROOT / ".ci" if folder == ".ci" else ROOT).parts
            built = any(part.startswith(".") or part in ("build", "__pycache__") for part in parts)
            if path.is_file() and path.suffix in suffixes and not built:
                found.append(path)
    assert found, folders
    return found


def wrong_includes(folder, name, text):
    """The forbidden includes of the file csrc/<folder>/<name>, as sentences."""
    found = []
    for quoted, bracketed in re.findall(INCLUDE, text, flags=re.M):
        if bracketed:
            if folder != "python" and re.match(r"Python\.h|numpy/|py\w+\.h", bracketed):
                found.append(f"{folder}/{name} sees {bracketed}, but only python/ may")
            continue
        path = Path(*re.sub(r"^(\.\./)+", "", quoted).split("/"))
        target = path.parts[0] if len(path.parts) > 1 else None if path.name in PUBLIC else folder
        allowed = target in {None, folder} | BELOW[folder]
        if not allowed:
            found.append(f"{folder}/{name} includes {quoted}, which is not below {folder}/")
    return found


def test_includes_point_downwards():
    wrong = []
    for path in files("csrc", suffixes={".c", ".h", ".inc"}):
        if path.parent.name != "csrc":
            wrong += wrong_includes(path.parent.name, path.name, path.read_text())
    assert not wrong, "\n".join(wrong)


def test_the_public_header_includes_nothing_of_python_or_the_engine():
    for name in PUBLIC:
        included = re.findall(r'#\s*include\s+["<]([^">]+)', (ROOT / "csrc" / name).read_text())
        assert set(included) <= {"stddef.h", "stdint.h"} | PUBLIC, name


@pytest.mark.parametrize(
    ("folder", "line"),
    [
        ("ops", "#include <Python.h>"),
        ("kernels", "#include <numpy/arrayobject.h>"),
        ("kernels", '#include "../runtime/pool.h"'),
        ("runtime", '#include "../ops/ops.h"'),
        ("kernels", '#include "../isa/cpu.h"'),
        ("simd", '#include "kernels/table.h"'),
        ("ops", '#include "../python/module.h"'),
        ("ops", '#define NNC_TEMPLATE "python/loops.inc"'),
        ("python", '#include "../kernels/table.h"'),
    ],
)
def test_a_wrong_include_is_found(folder, line):
    assert wrong_includes(folder, "planted.c", f"/* a comment */\n{line}\n#include <stddef.h>\n")


@pytest.mark.parametrize(
    ("folder", "line"),
    [
        ("python", "#include <Python.h>"),
        ("python", '#include "ops/ops.h"'),
        ("ops", '#include "ops.h"'),
        ("ops", '#include "../runtime/pool.h"'),
        ("isa", '#include "../kernels/gemm.c"'),
        ("ops", '#include "../isa/cpu.h"'),
        ("kernels", '#include "../nnc.h"'),
    ],
)
def test_a_right_include_is_allowed(folder, line):
    assert not wrong_includes(folder, "planted.c", line)


def imports(sources):
    """The modules that each module imports, also in functions and under TYPE_CHECKING: {module: {module, ...}}.

    An import of a folder's module does not count as an import of its __init__.
    """
    found = {}
    for name, text in sources.items():
        parts, found[name] = name.split("."), set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                base = ".".join(parts[: len(parts) - node.level] if node.level else [])
                target = ".".join(filter(None, (base, node.module)))
                wanted = [f"{target}.{alias.name}" for alias in node.names]
                found[name] |= {w if w in sources else target for w in wanted} & set(sources) - {name}
            elif isinstance(node, ast.Import):
                found[name] |= {alias.name for alias in node.names} & set(sources) - {name}
    return found


def cycle(graph):
    """The first cycle of imports found, or []."""
    done, path = set(), []

    def visit(name):
        if name in path:
            return path[path.index(name) :]
        if name in done:
            return []
        path.append(name)
        found = next(filter(None, map(visit, sorted(graph[name]))), [])
        path.pop()
        done.add(name)
        return found

    return next(filter(None, map(visit, sorted(graph))), [])


def modules_of_nnc():
    paths = [path for path in files("nnc", suffixes={".py"}) if path.name != "__init__.py"]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text() for path in paths}


# Imported by methods when they are called, as nnc/README.md says.
LAZY = {
    ("nnc.autodiff.node", "nnc.display.drawing"),
    ("nnc.autodiff.node", "nnc.display.steps"),
    ("nnc.plot", "nnc.display.live"),
}


def without(graph, edges):
    return {name: {other for other in graph[name] if (name, other) not in edges} for name in graph}


def test_there_is_no_cycle_of_imports():
    assert not cycle(without(imports(modules_of_nnc()), LAZY))


def order_of_the_map():
    """{a module, or a folder: its row in the map of nnc/README.md}"""
    rows = [line.split("|")[1] for line in (ROOT / "nnc" / "README.md").read_text().splitlines() if line[:3] == "| `"]
    return {name.rstrip("/"): i for i, row in enumerate(rows) for name in re.findall(r"`(\w+/?)(?:\.py)?`", row)}


def upwards(graph, order):
    """Imports of a module from a lower row of the map, as pairs; the internal modules are above all rows."""

    def row(module):
        name = module.split(".")[1]
        return order[name] if name in order or name[0] != "_" else -1

    return {(name, other) for name in graph for other in graph[name] if row(other) > row(name)}


def test_imports_follow_the_map():
    graph, order = imports(modules_of_nnc()), order_of_the_map()
    assert upwards(graph, order) == LAZY
    planted = ("nnc.functional", "nnc.mlp.model")
    assert upwards(graph | {planted[0]: {planted[1]}}, order) == LAZY | {planted}


def test_a_cycle_is_found():
    in_function = "def f():\n    from ..sub.c import x"
    lazy = {"nnc.a": "from .sub import b", "nnc.sub.b": in_function, "nnc.sub.c": "import nnc.a"}
    assert set(cycle(imports(lazy))) == set(lazy)
    assert not cycle(imports(lazy | {"nnc.sub.c": "from .. import _engine"}))


CODE = {".c", ".h", ".inc", ".py", ".pyi"}
SOURCES = files("csrc", "nnc", "tests", "bench", suffixes=CODE)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_lines_are_at_most_120_columns_and_nothing_is_unfinished(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    long = [i for i, line in enumerate(lines, 1) if len(line) > 120]
    assert not long, f"over 120 columns in lines {long}"
    unfinished = [line for line in lines if UNFINISHED.search(line)]
    assert not unfinished


def test_there_are_no_paths_of_a_developers_machine():
    text = CODE | {".md", ".toml", ".ipynb", ".yml", ".in", ".txt", ""}
    folders = ("csrc", "nnc", "tests", "bench", "notebooks", ".ci", "README.md", "CONTRIBUTING.md", "CHANGELOG.md",
             "Makefile", "pyproject.toml", "setup.py", "MANIFEST.in")
    existing = [folder for folder in folders if (ROOT / folder).exists()]
    wrong = [f"{path.relative_to(ROOT)}: {line.strip()[:100]}" for path in files(*existing, suffixes=text)
             for line in path.read_text(encoding="utf-8").splitlines() if LOCAL_PATHS.search(line)]
    assert not wrong, "\n".join(wrong)


def test_unfinished_lines_and_local_paths_are_found():
    assert UNFINISHED.search("/* TO" "DO: later */")
    assert LOCAL_PATHS.search("see /wo" "rk/shared")
    assert not LOCAL_PATHS.search("the work/step of a network, /usr/share/datasets")


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name)
def test_workflows_run_existing_targets_and_files(path):
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["name"] and workflow[True] and workflow["permissions"]  # "on" is True in YAML 1.1
    for job in workflow["jobs"].values():
        assert job["runs-on"] and set(job) >= {"steps"}
        needed = job.get("needs", [])
        assert set([needed] if isinstance(needed, str) else needed) <= workflow["jobs"].keys()
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            assert "uses" not in step or re.fullmatch(r"[\w-]+/[\w/-]+@[\w./]+", step["uses"])
            wrong = [what for what in runs(step.get("run", "")) if not exists(what)]
            assert not wrong, f"{path.name} runs {wrong}"


def runs(script):
    """The targets of make and the files that a script names."""
    return re.findall(r"\bmake [a-z-]+|(?:^|(?<=\s))(?:\.ci|tests|bench|docs)/[\w./]+", script, flags=re.M)


def exists(what):
    if what.startswith("make "):
        return re.search(rf"^{what[5:]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M)
    return (ROOT / what).exists()


def test_a_missing_target_or_file_of_a_workflow_is_found():
    assert [what for what in runs("make docs\nmake nothing\npytest tests/test_house.py tests/no.py\n.ci/run")
            if not exists(what)] == ["make nothing", "tests/no.py"]  # fmt: skip


def test_the_citation_file_is_valid():
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation.keys() >= {"cff-version", "message", "title", "authors", "version", "license"}
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert all(author.keys() <= {"name", "family-names", "given-names", "orcid"} for author in citation["authors"])


def test_there_is_one_version():
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), flags=re.M).group(1)
    newest = re.search(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.M).group(1)
    cited = re.search(r"^version: (.+)", (ROOT / "CITATION.cff").read_text(), flags=re.M).group(1)
    assert newest == version == cited


def test_every_public_name_is_in_the_readme():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    interface = page.split("\n## The interface")[1].split("\n## ")[0]
    named = set(re.findall(r"\w+", interface))
    assert {name for name in nnc.__all__ if not name.startswith("_")} <= named
