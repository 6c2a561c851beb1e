"""Where a result comes from."""

import json
import os
import re

import pytest

from conure_core.runtime import provenance


def test_the_commit_is_whole_marked_if_dirty_or_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.fullmatch("unknown|[0-9a-f]{40}(-dirty)?", provenance.git_commit())
    monkeypatch.setenv("PATH", "")
    assert provenance.git_commit() == "unknown"


def test_the_machine_s_facts_are_plain_and_measured() -> None:
    facts = provenance.machine()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["cores"] == len(os.sched_getaffinity(0))
    assert facts["memory_gb"] > 0.1
    assert facts["cpu"]
