"""The gallery at toy size: all of its parts are there, readable without sight of them, and nothing
is fetched.
"""

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from conure_core.cli import main
from conure_sim.randomization.factors import preset_names
from conure_sim.tools.gallery import arm_names
from conure_sim.tools.gallery_pictures import (
    fixture_groups,
    fixture_pictures,
    object_groups,
    preset_samples,
)


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def decoded(source):
    data = np.frombuffer(
        base64.b64decode(source.removeprefix("data:image/webp;base64,")), dtype=np.uint8
    )
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    out = tmp_path_factory.mktemp("gallery")
    assert (
        main(
            [
                "gallery",
                f"out={out}",
                "tasks=[Lift,DrawerOpen]",
                "size=48",
                "thumbnail_size=16",
                "samples=2",
            ]
        )
        == 0
    )
    assert [path.name for path in out.iterdir()] == ["index.html"]
    return (out / "index.html").read_text()


def test_every_task_arm_preset_object_and_fixture_is_on_the_page(text):
    page = Page(text)
    alts = [image["alt"] for image in page.all("img")]
    for task in ("Lift", "DrawerOpen"):
        for arm in arm_names():
            assert (
                sum(alt.startswith(f"{task} with {arm}, ") and "expert" in alt for alt in alts) == 6
            )
    for preset in preset_names():
        assert sum(f"randomization {preset}," in alt for alt in alts) == 2
    for models in object_groups().values():
        assert set(models) <= set(alts)
    for fixtures in fixture_groups().values():
        assert {fixture.name for fixture in fixtures} <= set(alts)


def test_the_page_fetches_nothing_and_its_links_lead_somewhere(text):
    page = Page(text)
    assert all(image["src"].startswith("data:image/webp;base64,") for image in page.all("img"))
    assert not page.all("script") and not page.all("link") and "url(" not in text
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {anchor["href"].removeprefix("#") for anchor in page.all("a")} == ids


def test_every_picture_decodes_and_shows_something_of_the_size_it_says(text):
    for image in Page(text).all("img"):
        pixels = decoded(image["src"])
        assert pixels.shape[:2] == (int(image["height"]), int(image["width"]))
        assert image["alt"]
        assert pixels.std() > 3, image["alt"]


def test_the_page_says_how_each_episode_ended(text):
    ends = re.findall(r"\d+ steps,</span>\s*<span class=\"(?:good|bad)\">(?:no )?success", text)
    assert len(ends) == 2 * len(arm_names())


def test_draws_of_a_preset_show_one_scene_in_different_light():
    none, full = (preset_samples(preset, "Lift", "wx250s", 0, 3, 48) for preset in ("none", "full"))

    def spread(pictures):
        return np.std([picture.image.astype(float) for picture in pictures], axis=0).mean()

    assert spread(full) > 3 * spread(none)


def test_a_fixture_fills_its_picture_and_is_not_cut_off():
    fixtures = [fixture for group in fixture_groups().values() for fixture in group]
    for fixture, picture in zip(fixtures, fixture_pictures(fixtures, 64), strict=True):
        image = picture.image.astype(int)
        border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        table = np.median(border, axis=0)
        difference = np.abs(image - table).max(axis=2)
        assert (difference > 25).mean() > 0.1, fixture.name
        away = difference > 60  # a shadow is not: it may leave the picture
        assert not away[[0, -1]].any() and not away[:, [0, -1]].any(), fixture.name


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("tasks=[Lfit]", "Lift"),
        ("arms=[pandda]", "panda"),
        ("presets=[ful]", "full"),
        ("samples=0", "samples must be a whole number from 1"),
    ],
)
def test_bad_settings_are_refused_with_what_is_valid(tmp_path, capsys, word, named):
    assert main(["gallery", f"out={tmp_path}", word]) == 1
    assert named in capsys.readouterr().err
