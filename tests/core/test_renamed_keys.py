"""Old names of keys: each becomes its new one, with a hint, or is refused; nothing is lost."""

import pytest

from conure_core.config.renamed_keys import Renamed, with_current_names
from conure_core.errors import ConfigError

TABLE = (
    Renamed("wild=true", "pet=lion", "pet", ("cat",)),
    Renamed("wild=false", ""),
    Renamed("food", "bowl.food"),
    Renamed("cat.*", "pet.*", "pet", ("cat", "lion")),
    Renamed("dog.*", "pet.legs.*", "pet", ("dog",)),
    Renamed("fur.length", "pet.fur", "pet", ("cat",)),
    Renamed("fur.*", "pet.coat.*", "pet", ("dog",)),
)


def current(*words: str) -> list[str]:
    return with_current_names(words, TABLE, {"pet": "cat"})[0]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["food=2", "pet.age=3"], ["bowl.food=2", "pet.age=3"]),
        (["cat.age=3"], ["pet.age=3"]),
        (["++cat.a.b=[1,2]"], ["++pet.a.b=[1,2]"]),
        (["pet=dog", "dog.count=4"], ["pet=dog", "pet.legs.count=4"]),
        (["pet='dog'", "dog.count=4"], ["pet='dog'", "pet.legs.count=4"]),
        (["fur.length=2"], ["pet.fur=2"]),
        (["pet=dog", "fur.length=2"], ["pet=dog", "pet.coat.length=2"]),
        (["wild=True", "cat.age=3"], ["pet=lion", "pet.age=3"]),
        (["pet=cat", "wild=true"], ["pet=lion"]),
        (["wild=false"], []),
        (["dog.count=4"], []),
        (["food2=2", "catalogue.x=1", "wild=maybe"], ["food2=2", "catalogue.x=1", "wild=maybe"]),
        ([], []),
    ],
)
def test_old_names_become_the_new_ones(words, expected):
    assert current(*words) == expected


def test_a_hint_names_the_new_name_of_each_old_one_and_no_other():
    words = ["food=2", "wild=false", "dog.count=4", "pet.age=1"]
    _, hints = with_current_names(words, TABLE, {"pet": "cat"})
    assert [hint.partition(";")[0] for hint in hints] == [
        "leave out wild=false",
        "write bowl.food=2 instead of food=2",
        "leave out dog.count=4",
    ]
    assert with_current_names(["pet.age=1", "pet=dog"], TABLE, {"pet": "cat"})[1] == []


def test_an_old_name_that_chooses_is_refused_beside_another_choice():
    with pytest.raises(ConfigError, match=r"wild=true goes with pet=cat, not with pet=dog; write"):
        current("pet=dog", "wild=true")


def test_below_a_key_everything_has_the_key_in_front():
    table = [row.below("zoo") for row in TABLE]
    words = ["zoo.wild=true", "zoo.cat.age=3", "zoo.food=1", "cat.age=3", "zoo.wild=false"]
    found, _ = with_current_names(words, table, {"zoo.pet": "cat"})
    assert found == ["zoo.pet=lion", "zoo.pet.age=3", "zoo.bowl.food=1", "cat.age=3"]
