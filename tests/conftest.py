"""Settings for all tests: slow ones run on request, hypothesis has no deadline, missing libraries are named."""

import re
import signal

import hypothesis
import pytest

import nnc._engine

# Started in the background of a shell, the tests and their subprocesses would ignore Ctrl-C, which some of them send.
signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("nnc", deadline=None, max_examples=60)
hypothesis.settings.load_profile("nnc")


# Training uses all threads that a test asks for, also where messages between the cores of a busy machine are slow.
nnc._engine.set_core_to_core(1)


def pytest_collection_modifyitems(config, items):
    """Slow tests run when the marker expression mentions them: `-m slow`, `-m "slow or not slow"`."""
    if "slow" not in config.option.markexpr:
        skip = pytest.mark.skip(reason="slow: run it with -m slow")
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
