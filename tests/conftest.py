"""Settings for all tests: the slow ones wait to be asked for, hypothesis is not timed; what was left out is told."""

import re
import signal

import hypothesis
import pytest

import nnc._engine

# A shell that runs the tests in the background has them, and what they start, ignore Ctrl-C; some of them send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("nnc", deadline=None, max_examples=60)
hypothesis.settings.load_profile("nnc")


# Training takes all threads that a test asks for, however far apart the cores of a busy machine seem to be.
nnc._engine.set_core_to_core(1)


def pytest_collection_modifyitems(config, items):
    """Slow tests run when a marker expression speaks of them: `-m slow`, `-m "slow or not slow"`."""
    if "slow" not in config.option.markexpr:
        skip = pytest.mark.skip(reason="slow; ask for it with -m slow")
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(skip)


def pytest_terminal_summary(terminalreporter):
    """One line for the tests that need libraries which are not installed."""
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    missing = [name for reason in reasons for name in re.findall(r"could not import '(\w+)", reason)]
    if missing:
        names = ", ".join(sorted(set(missing)))
        terminalreporter.write_line(f"skipped, as {names} are not installed: {len(missing)}; make test-peers runs them")
