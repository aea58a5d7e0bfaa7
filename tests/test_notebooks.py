"""The notebooks: both languages say the same, every equation of the notes is there and checked, and all of it runs."""

import importlib.util
import json
import re
from pathlib import Path

import nbformat
import pytest

import nnc

pytest.importorskip("nbclient")
from nbclient.exceptions import CellExecutionError  # noqa: E402

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("run", ROOT / "notebooks" / "run.py")
run = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run)

# The numbered equations of the notes, by notebook.
EQUATIONS = {
    "01": ["3.9"],
    "02": ["4.1", "4.2"],
    "03": ["5.1", "5.2", "5.3"],
    "04": ["6.1", "6.2", "6.3", "6.4"],
    "05": ["7.1", "7.2", "7.3"],
    "06": [],
    "07": ["10.1", "10.2", *(f"11.{i}" for i in range(1, 10))],
    "08": ["12.1", "12.2", "12.3", "12.4"],
    "09": [],
    "10": [],
    "11": [],
    "12": ["17.3", "17.4", "17.1", *(f"17.{i}" for i in range(5, 10))],
    "13": [],
    "14": [],
    "15": [],
}
ENGLISH = {path.name[:2]: path for path in run.notebooks() if path.parent.name != "es"}
SPANISH = {path.name[:2]: path for path in run.notebooks() if path.parent.name == "es"}
NUMBERS = sorted(ENGLISH)

# One wrong line each: the derivation's, and a typical mistake.
PLANTED = {
    "02": (".sum(axis=0, keepdims=True)         # (4.2)", ".sum(axis=1, keepdims=True)         # (4.2)"),
    "04": ("w_new = w - alpha * dw", "w_new = w + alpha * dw"),
    "05": ("dw = dt * x.value ", "dw = dt * w.value "),
    "13": ("axis=0)\n    return dW1, db1, dW2, db2\n\n\ncheck(", "axis=1)\n    return dW1, db1, dW2, db2\n\n\ncheck("),
    "14": ("u = u - alpha_n * (g + mu * v_u)", "u = u - alpha_n * (g + v_u)"),
}


def read(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def checks(source):
    """Whether the code has a line that fails if the derivation is wrong."""
    return bool(re.search(r"^\s*(check|same|assert)\b", source, flags=re.M))


def test_every_notebook_is_there_in_both_languages():
    assert sorted(ENGLISH) == sorted(SPANISH) == sorted(EQUATIONS)


@pytest.mark.parametrize("number", NUMBERS)
def test_both_languages_have_the_same_code(number):
    english, spanish = read(ENGLISH[number]), read(SPANISH[number])
    assert [(cell.id, cell.cell_type) for cell in english.cells] == [(c.id, c.cell_type) for c in spanish.cells]
    for a, b in zip(english.cells, spanish.cells, strict=True):
        if a.cell_type == "code":
            assert a.source == b.source
            assert [kinds(output) for output in a.outputs] == [kinds(output) for output in b.outputs]
        else:
            assert a.source != b.source, f"{a.id} is not translated"
            assert re.findall(r"\\tag\{(.+?)\}", a.source) == re.findall(r"\\tag\{(.+?)\}", b.source)
    assert tags(english) == tags(spanish)


def kinds(output):
    return output.get("name") or sorted(output.get("data", []))


def tags(notebook):
    """(number, index of its cell) of each equation."""
    return [(tag, i) for i, cell in enumerate(notebook.cells) if cell.cell_type == "markdown"
            for tag in re.findall(r"\\tag\{(.+?)\}", cell.source)]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
def test_every_equation_is_there_and_checked(number):
    notebook = read(ENGLISH[number])
    found = tags(notebook)
    assert [tag for tag, _ in found] == EQUATIONS[number], "each once, in the order of the notes"
    for tag, index in found:
        assert is_checked(notebook, tag, index), f"({tag}) has no line of code, or no check"


def is_checked(notebook, tag, index):
    """The code after the equation has its number in a comment, and a check before the next text with an equation."""
    named = False
    for cell in notebook.cells[index + 1 :]:
        if cell.cell_type == "markdown" and r"\tag" in cell.source:
            break
        if cell.cell_type == "code":
            named = named or bool(re.search(rf"#.*\({re.escape(tag)}\)", cell.source))
            if named and checks(cell.source):
                return True
    return False


def test_an_equation_without_a_check_is_detected():
    notebook = read(ENGLISH["05"])
    [index] = [i for tag, i in tags(notebook) if tag == "7.2"]
    cell = next(cell for cell in notebook.cells[index:] if cell.cell_type == "code")
    whole = cell.source
    cell.source = re.sub(r"^(check|same).*$", "", whole, flags=re.M)
    assert not is_checked(notebook, "7.2", index)
    cell.source = whole.replace("(7.2)", "")
    assert not is_checked(notebook, "7.2", index)


@pytest.mark.parametrize("path", run.notebooks(), ids=lambda path: path.stem)
def test_stored_notebooks_are_as_run_py_writes_them(path):
    text = path.read_text(encoding="utf-8")
    notebook = read(path)
    nbformat.validate(notebook)
    assert text == nbformat.writes(notebook) + "\n", "not as run.py stores it"
    assert len(text.encode()) < 300_000
    assert json.loads(text)["metadata"] == run.METADATA
    counts = [cell.execution_count for cell in code(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "make notebooks"
    for cell in notebook.cells:
        assert cell.metadata == {}, cell.id
    for cell in code(notebook):
        assert_quiet(cell)
        assert not re.search(r"0x[0-9a-f]{8}", json.dumps(cell.outputs)), f"{cell.id}: an address in memory"
    assert notebook.cells[0].source.startswith(f"# {path.name[:2]} · ")


def assert_quiet(cell):
    for output in cell.outputs:
        assert output.output_type != "error" and output.get("name") != "stderr", f"{cell.id}: {output}"


def test_the_graph_in_the_readme_is_up_to_date():
    w, x, b = (nnc.Node(value, name=name) for value, name in ((-2.0, "w"), (5.0, "x"), (3.0, "b")))
    z = w * x + b
    z.backward()
    assert z.graph().svg == (ROOT / "notebooks" / "pictures" / "graph.svg").read_text(encoding="utf-8")


def test_all_notebooks_begin_with_the_same_cell():
    assert len({code(read(path))[0].source for path in run.notebooks()}) == 1


@pytest.mark.parametrize("number", NUMBERS)
def test_a_notebook_runs_and_its_exercise_can_be_solved(number):
    """All cells; then the exercise once more, with the line from the solution instead of the wrong one."""
    notebook = read(ENGLISH[number])
    exercise, solution = code(notebook)[-1], notebook.cells[-1].source
    assert exercise.source.count("✎") == solution.count("✎") == 1
    right = re.search(r"^```python\n(.*✎)\n```", solution, flags=re.M | re.S).group(1)
    assert right in read(SPANISH[number]).cells[-1].source
    solved = re.sub(r"^.*✎$", lambda _: right, exercise.source, flags=re.M)
    verdict = nbformat.v4.new_code_cell("assert Out[max(Out)].ok, Out[max(Out)]")
    notebook.cells += [nbformat.v4.new_code_cell(solved), verdict]

    run.execute(notebook)

    for cell in code(notebook):
        assert_quiet(cell)
    stored = read(ENGLISH[number])
    for cell, before in zip(notebook.cells, stored.cells, strict=False):
        now, then = cell.get("outputs", []), before.get("outputs", [])
        assert [kinds(output) for output in now] == [kinds(output) for output in then], f"{cell.id}: make notebooks"
    assert "nnc.check_derivation(" in exercise.source
    report = exercise.outputs[-1].data["text/plain"]
    assert len(re.findall("✗", report)) == 1, f"one line is to be corrected: {report}"


@pytest.mark.parametrize("number", PLANTED)
def test_a_wrong_line_stops_the_notebook(number):
    right, wrong = PLANTED[number]
    notebook = read(ENGLISH[number])
    [cell] = [cell for cell in code(notebook) if right in cell.source]
    cell.source = cell.source.replace(right, wrong)
    with pytest.raises(CellExecutionError) as error:
        run.execute(notebook)
    assert "AssertionError" in str(error.value)


def test_running_a_notebook_again_stores_the_same_bytes(tmp_path):
    """A notebook with numbers and graphs; the added cell shows a progress bar, which must not be stored."""
    notebook = read(ENGLISH["05"])
    training = "net = nnc.MLP([2, 3, 2], seed=0)\nhistory = net.fit(np.eye(2), [0, 1], epochs=3)\nhistory.loss"
    notebook.cells.append(nbformat.v4.new_code_cell(training, id="training"))
    stored = []
    for name in ("first.ipynb", "second.ipynb"):
        run.store(notebook, tmp_path / name)
        run.main([tmp_path / name])
        stored.append((tmp_path / name).read_bytes())
    assert stored[0] == stored[1]
    assert len(read(tmp_path / name).cells[-1].outputs) == 1
