"""The README is true: its sessions print what they show; its commands, links and names exist."""

import doctest
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

import nnc

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / name
    for name in ("README.md", "CONTRIBUTING.md", "bench/README.md", "csrc/README.md", "CHANGELOG.md", "SECURITY.md")
]
README = PAGES[0].read_text(encoding="utf-8")


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page, flags=re.M | re.S)


def run_session(text):
    """The number of examples and a report of those whose output differs."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    test = doctest.DocTestParser().get_doctest(text, {}, "README.md", "README.md", 0)
    reports = []
    runner = doctest.DocTestRunner(optionflags=flags, verbose=False)
    runner.run(test, out=reports.append)
    return len(test.examples), "".join(reports)


def test_sessions_print_what_they_show():
    sessions = blocks(README, "python")
    assert all(">>> " in block for block in sessions), "a block without a session cannot be checked"
    examples, report = run_session("\n".join(sessions))  # one session: a block uses names of those before it
    assert examples > 20
    assert not report, report


def test_a_wrong_session_is_detected():
    assert run_session(">>> 1 + 1\n3\n")[1]


def test_commands_exist_in_the_makefile():
    commands = "\n".join(blocks(README, "sh"))
    assert "make demo" in commands and "make test" in commands
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for target in re.findall(r"\bmake ([a-z][a-z-]*)", "\n".join(blocks(page.read_text(encoding="utf-8"), "sh"))):
            assert re.search(rf"^{target}:", makefile, flags=re.M), f"{page.name}: make {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_have_no_placeholders_and_no_dead_links(page):
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"\bTB" r"D\b|\bTO" r"DO\b|\?\?\?|lorem|placeholder|coming soon", text, flags=re.I)
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_names_exist():
    for dotted in set(re.findall(r"\bnnc\.([A-Za-z_][\w.]*\w)", README)):
        if dotted.startswith("sklearn") and find_spec("sklearn") is None:
            continue
        if not dotted.endswith((".h", ".npz")) and dotted != "h":
            thing = nnc
            for name in dotted.split("."):
                assert hasattr(thing, name), f"nnc.{dotted}"
                thing = getattr(thing, name)
