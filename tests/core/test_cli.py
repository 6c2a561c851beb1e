"""Verbs of one word and of two."""

import pytest

from conure_core.cli import VERBS, main

BENCHES = [name for name in VERBS if name.startswith("bench ")]


@pytest.mark.parametrize("words", [[], ["help"], ["--help"]])
def test_conure_alone_lists_every_verb(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in VERBS)


@pytest.mark.parametrize("words", [["bench"], ["bench", "--help"]])
def test_bench_alone_lists_what_can_be_measured(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [" ".join(line.split()[:2]) for line in lines] == BENCHES


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["bench", "simm"], f"did you mean 'bench sim'? Valid: {', '.join(sorted(BENCHES))}."),
        (["bench", "rows=[speed]"], f"Valid: {', '.join(sorted(BENCHES))}."),
        (["dmo"], "did you mean 'demo'"),
    ],
)
def test_an_unknown_verb_lists_the_valid_ones(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    assert expected in capsys.readouterr().err


def test_help_gives_each_key_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", "bus", "--help"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("conure bench bus ")
    assert {"port: sim", "seconds: 20.0", "corrupt: 0.05"} <= set(lines)
