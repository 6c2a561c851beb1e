"""What all tests share."""

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parent.parent
GRAPHS_ELSEWHERE = ("tests/training/test_demo.py",)
TRIED_TOGETHER = ("tests/test_readme.py", "tests/test_examples.py")

# Nothing outside out/ is written to. Two busy cores make single examples slow: time is the job of
# pytest-timeout.
set_hypothesis_home_dir(ROOT / "out" / "cache" / "hypothesis")
settings.register_profile("conure", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("conure")

# Started in the background, a shell makes its children deaf to Ctrl-C, and theirs; tests of Ctrl-C
# need ears.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class GraphsInTurn(LoadScopeScheduling):
    """The tests of a file share a worker, so that its fixtures are made once; all that run graphs
    share one.

    Two graphs at once are too much for real time on two cores.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file in TRIED_TOGETHER:
            return TRIED_TOGETHER[0]
        return "graphs" if file.startswith("tests/ros/") or file in GRAPHS_ELSEWHERE else file


@pytest.fixture(scope="session")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working tree in which every command of the README has been run, at toy size."""
    from tests.readme_commands import try_all  # torch, which most tests do without

    return try_all(tmp_path_factory.mktemp("tried"))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return GraphsInTurn(config, log)
