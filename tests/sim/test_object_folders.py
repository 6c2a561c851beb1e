"""Objects from a folder of URDFs: read as they are, split by object, refused with a reason."""

import shutil
from pathlib import Path

import numpy as np
import pybullet_data
import pytest

from conure_core.errors import ConfigError
from conure_sim.envs.expert_success import success_rate
from conure_sim.envs.tabletop import TabletopEnv
from conure_sim.objects.sets import object_set

RANDOM_URDFS = Path(pybullet_data.getDataPath()) / "random_urdfs"
TETRAHEDRON = np.array([[0, 0, 0], [0.04, 0, 0], [0, 0.04, 0], [0, 0, 0.04]])
FACES = ((0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3))
STL = "solid t\n{}endsolid t\n"


def write_urdf(
    path: Path, geometry: str, kind: str = "collision", origin: str = "0 0 0", colour: str = ""
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    material = f'<material name="m"><color rgba="{colour}"/></material>' if colour else ""
    shape = f'<{kind}><origin xyz="{origin}"/><geometry>{geometry}</geometry>{material}</{kind}>'
    path.write_text(f'<robot name="o"><link name="l">{shape}</link></robot>')


def box(folder: Path, name: str, size: str = "0.03 0.03 0.04", colour: str = "1 0 0 1") -> None:
    write_urdf(folder / f"{name}.urdf", f'<box size="{size}"/>', "visual", colour=colour)


def obj_text() -> str:
    corners = "".join(f"v {x} {y} {z}\n" for x, y, z in TETRAHEDRON)
    return corners + "".join(f"f {a + 1} {b + 1} {c + 1}\n" for a, b, c in FACES)


def stl_text() -> str:
    facets = ""
    for face in FACES:
        corners = "".join("vertex {} {} {}\n".format(*TETRAHEDRON[i]) for i in face)
        facets += f"facet normal 0 0 1\nouter loop\n{corners}endloop\nendfacet\n"
    return STL.format(facets)


@pytest.mark.parametrize(("suffix", "text"), [("obj", obj_text()), ("stl", stl_text())])
@pytest.mark.parametrize("prefix", ["", "package://", "package://things/"])
def test_meshes_are_read_at_their_scale_wherever_the_urdf_says(
    tmp_path: Path, suffix, text, prefix
) -> None:
    folder = tmp_path / "things"
    write_urdf(
        folder / "wedge.urdf",
        f'<mesh filename="{prefix}m/wedge.{suffix}" scale="1 1 0.5"/>',
        origin="5 6 7",
    )
    (folder / "m").mkdir()
    (folder / "m" / f"wedge.{suffix}").write_text(text)
    model = object_set(str(folder))["wedge"]
    np.testing.assert_allclose(np.ptp(model.vertices, axis=0), [0.04, 0.04, 0.02], atol=1e-6)
    assert model.height_m == pytest.approx(0.02)
    assert model.vertices[:, 2].min() == 0.0


@pytest.mark.parametrize(
    ("geometry", "extent"),
    [
        ('<box size="0.02 0.03 0.04"/>', [0.02, 0.03, 0.04]),
        ('<cylinder radius="0.02" length="0.05"/>', [0.04, 0.04, 0.05]),
        ('<sphere radius="0.02"/>', [0.04, 0.04, 0.04]),
    ],
)
def test_primitives_are_read_at_their_size(
    tmp_path: Path, geometry: str, extent: list[float]
) -> None:
    write_urdf(tmp_path / "thing.urdf", geometry, colour="0.1 0.2 0.3 1")
    model = object_set(str(tmp_path))["thing"]
    np.testing.assert_allclose(np.ptp(model.vertices, axis=0), extent, atol=2e-3)
    assert model.colour == (0.1, 0.2, 0.3)


def test_several_links_make_one_object(tmp_path: Path) -> None:
    shape = '<collision><geometry><box size="0.02 0.02 0.02"/></geometry></collision>'
    joint = (
        '<joint name="j" type="{}"><parent link="a"/><child link="b"/><origin xyz="0 0 0.03"/><axis'
        ' xyz="0 0 1"/>'
    )
    links = "".join(f'<link name="{name}">{shape}</link>' for name in "ab")
    for kind in ("fixed", "continuous"):
        (tmp_path / f"{kind}.urdf").write_text(
            f'<robot name="o">{links}{joint.format(kind)}</joint></robot>'
        )
    for model in object_set(str(tmp_path)).values():
        np.testing.assert_allclose(np.ptp(model.vertices, axis=0), [0.02, 0.02, 0.05], atol=1e-9)


def test_a_folder_is_split_by_object_and_adding_one_moves_no_other(tmp_path: Path) -> None:
    for index in range(30):
        box(tmp_path, f"thing_{index}")
    train, test = (set(object_set(f"{tmp_path}:{split}")) for split in ("train", "test"))
    assert train | test == set(object_set(str(tmp_path)))
    assert not train & test
    assert 1 <= len(test) <= 14
    more = tmp_path.with_name("more")
    shutil.copytree(tmp_path, more)
    box(more, "another")
    assert set(object_set(f"{more}:test")) - {"another"} == test


def test_given_names_are_the_test_split(tmp_path: Path) -> None:
    for name in ("cup", "die", "pen"):
        box(tmp_path / "things", name)
    (tmp_path / "set.yaml").write_text("folder: things\ntest: [pen]\n")
    assert set(object_set(f"{tmp_path}/set.yaml:test")) == {"pen"}
    assert set(object_set(f"{tmp_path}/set.yaml:train")) == {"cup", "die"}
    assert set(
        object_set({"folder": str(tmp_path / "things"), "split": "test", "test": ["die"]})
    ) == {"die"}


def test_the_expert_picks_objects_of_a_folder_that_were_made_graspable(tmp_path: Path) -> None:
    for index in range(200, 212):
        shutil.copytree(RANDOM_URDFS / str(index), tmp_path / str(index))
    source = {"folder": str(tmp_path), "graspable": True, "laid": True}
    env = TabletopEnv(objects=source, image_size=16)
    for seed in range(10):
        assert set(env.reset(seed=seed)[1]["objects"]) <= {str(index) for index in range(200, 212)}
    assert success_rate("Lift", objects=source, episodes=10).successes >= 8


def test_large_objects_do_not_stand_in_each_other(tmp_path: Path) -> None:
    for name, colour in (("red", "1 0 0 1"), ("green", "0 1 0 1")):
        box(tmp_path, name, "0.09 0.09 0.02", colour)
    env = TabletopEnv(objects=str(tmp_path), image_size=16, distractors=1)
    for seed in range(10):
        env.reset(seed=seed)
        first, second = env.scene.object_positions()[:2]
        assert np.linalg.norm(first - second) > 0.09 * 2**0.5


def broken(tmp_path: Path, case: str) -> str:
    folder = tmp_path / "things"
    folder.mkdir()
    if case == "mesh":
        write_urdf(folder / "cup.urdf", '<mesh filename="cup.obj"/>')
    elif case == "bad mesh":
        write_urdf(folder / "cup.urdf", '<mesh filename="cup.obj"/>')
        (folder / "cup.obj").write_text("no vertices here\n")
    elif case == "xml":
        (folder / "cup.urdf").write_text("<robot><link")
    elif case == "no robot":
        (folder / "cup.urdf").write_text("<a/>")
    elif case == "bare":
        (folder / "cup.urdf").write_text('<robot name="o"><link name="l"/></robot>')
    elif case == "flat":
        box(folder, "cup", "0.03 0.03 0")
    elif case == "large":
        box(folder, "cup", "30 30 40")
    elif case == "none in split":
        box(folder, "cup")
        return f"{folder}:test"
    return str(folder if case != "missing" else tmp_path / "thinks")


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("missing", "no folder of objects at .*thinks"),
        ("empty", "holds no .urdf file"),
        ("mesh", r"cup\.urdf: link '.*': its mesh 'cup\.obj' is not at .*things/cup\.obj"),
        ("bad mesh", r"cup\.urdf is not a readable URDF: .*cup\.obj"),
        ("xml", r"cup\.urdf is not a readable URDF"),
        ("no robot", r"cup\.urdf is not a readable URDF"),
        ("bare", r"cup\.urdf has neither collision nor visual geometry"),
        ("flat", r"cup\.urdf: its points span no volume"),
        ("large", r"cup\.urdf: reaches 21.* millimetres"),
        ("none in split", "none of its 1 objects is in the split 'test'"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_with_its_file(
    tmp_path: Path, case: str, expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        TabletopEnv(objects=broken(tmp_path, case))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"folder": ".", "splt": "test"}, "did you mean 'split'"),
        ({"folder": ".", "split": "tst"}, "did you mean 'test'"),
        ({"folder": ".", "graspable": "yes please"}, "graspable must be true or false"),
        ({"split": "test"}, "missing fields folder"),
        ("tset", "did you mean 'test'"),
    ],
)
def test_a_wrong_description_of_a_folder_is_refused_by_field(source, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        object_set(source)


def test_a_name_that_the_folder_lacks_is_refused_and_the_environment_goes_on(
    tmp_path: Path,
) -> None:
    box(tmp_path, "cup")
    env = TabletopEnv(objects=str(tmp_path), image_size=16, distractors=0)
    with pytest.raises(ConfigError, match="did you mean 'cup'"):
        env.reset(seed=0, options={"target": "cap"})
    assert env.reset(seed=0, options={"target": "cup"})[1]["target"] == "cup"
