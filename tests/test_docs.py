"""The documentation is true: its sessions give what they show, its pages are reachable, every public name is in it."""

import re
from pathlib import Path

import pytest
from test_readme import blocks, run_session

import nnc

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts and "notebooks" not in path.parts)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_sessions(page):
    sessions = blocks(page.read_text(encoding="utf-8"), "python")
    assert all(">>> " in block for block in sessions), "a block that nobody can check"
    _, report = run_session("\n".join(sessions))
    assert not report, report


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_every_public_name_is_in_the_interface():
    named = set(re.findall(r"\w+", (DOCS / "interface.md").read_text(encoding="utf-8")))
    assert {name for name in nnc.__all__ if not name.startswith("_")} <= named
