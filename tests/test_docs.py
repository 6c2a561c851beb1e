"""README, CONTRIBUTING and docs: links lead somewhere, commands are ones that Conure takes, and the
index knows every page.
"""

import re
import shlex

import pytest

import conure_core.config.loader as config_module
from conure_core.cli import main, verbs
from tests.pages import PAGES, README, ROOT, blocks, commands, headings, links

DOCS = [page for page in PAGES if page.parent.name in ("docs", "methods")]
NOT_OF_THIS_MACHINE = ("/my/", "...")
BEGINS_AT_ONCE = ("conure", "conure stop")
"""What would list the verbs, and what would stop every arm without reading a configuration."""
TAKE_FILES = ("recordings recover", "servos restore")
"""Verbs that take names of files and no keys."""
LONGEST_PARAGRAPH_WORDS = 100


def name(page):
    return str(page.relative_to(ROOT))


class Began(BaseException):
    """Work would begin here: the words were accepted."""


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_to_a_file_and_a_heading(page):
    for path, anchor in links(page):
        assert path.exists(), f"{name(page)} links to {path}"
        assert not anchor or anchor in headings(path), f"{name(page)}: no '#{anchor}' in {path}"


@pytest.mark.parametrize("page", [page for page in PAGES if page != README], ids=name)
def test_every_command_is_one_that_conure_takes(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    filled = config_module.filled

    def accept(schema, merged):
        filled(schema, merged)
        raise Began

    monkeypatch.setattr(config_module, "filled", accept)
    for command in commands(page):
        if command in BEGINS_AT_ONCE or any(part in command for part in NOT_OF_THIS_MACHINE):
            continue
        words = shlex.split(command)
        if words[0] == "conure" and " ".join(words[1:3]) in TAKE_FILES:
            assert " ".join(words[1:3]) in verbs()
        elif words[0] == "conure":
            with pytest.raises(Began):
                pytest.fail(f"{name(page)}: '{command}' ended with status {main(words[1:])}")


@pytest.mark.parametrize("page", DOCS, ids=name)
def test_a_page_begins_with_a_command_and_has_headings(page):
    if page.name != "README.md":
        assert blocks(page), f"{name(page)} shows no command"
        before = page.read_text().partition("```")[0]
        assert len(before.split()) < 80, f"{name(page)}: the first command comes late"
        assert headings(page)


def test_the_index_lists_every_page():
    listed = {path for path, _ in links(ROOT / "docs" / "README.md")}
    assert {page.resolve() for page in DOCS} - listed == {(ROOT / "docs" / "README.md").resolve()}


@pytest.mark.parametrize("page", DOCS, ids=name)
def test_no_paragraph_is_too_long_to_read(page):
    for paragraph in re.split(r"\n\n|\n(?=- |\d+\. )", page.read_text()):
        if not paragraph.startswith(("|", "```")):
            words = paragraph.split()
            assert len(words) <= LONGEST_PARAGRAPH_WORDS, f"{name(page)}: {' '.join(words[:12])}"
