"""What all tests share."""

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

ROOT = Path(__file__).resolve().parent.parent

# Nothing outside out/ is written to. Two busy cores make single examples slow: time is the job of pytest-timeout.
set_hypothesis_home_dir(ROOT / "out" / "cache" / "hypothesis")
settings.register_profile("conure", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("conure")

# Started in the background, a shell makes its children deaf to Ctrl-C, and theirs; tests of Ctrl-C need ears.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Graphs run one after another, beside the other tests: two at once are too much for real time on two cores."""
    for item in items:
        if item.get_closest_marker("ros"):
            item.add_marker(pytest.mark.xdist_group("ros"))
