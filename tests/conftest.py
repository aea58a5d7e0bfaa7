"""Settings for all tests: the slow ones wait to be asked for, hypothesis is not timed."""

import signal

import hypothesis
import pytest

# A shell that runs the tests in the background has them, and what they start, ignore Ctrl-C; some of them send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("nnc", deadline=None, max_examples=60)
hypothesis.settings.load_profile("nnc")


def pytest_collection_modifyitems(config, items):
    """Slow tests run when a marker expression speaks of them: `-m slow`, `-m "slow or not slow"`."""
    if "slow" not in config.option.markexpr:
        skip = pytest.mark.skip(reason="slow; ask for it with -m slow")
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(skip)
