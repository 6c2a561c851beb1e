"""Old names of verbs run what they ran, and say the new name."""

import pytest

from conure_core.cli import main


@pytest.mark.parametrize(
    ("old", "hint"),
    [
        (["card", "prior=nowhere.pt"], "conure card is now: conure prior-report"),
        (["results", "nothing"], "conure results is now: python "),
    ],
)
def test_an_old_verb_says_the_new_one(old, hint, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(old) == 1, "what these words name is not there"
    hinted, refused = capfd.readouterr().err.strip().splitlines()
    assert hinted.startswith(hint)
    assert refused.startswith(f"conure {old[0]}: ") and (
        "nowhere.pt" in refused or "nothing" in refused
    )
