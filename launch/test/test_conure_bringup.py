"""Every launch file describes nodes whose parameter files are installed beside it."""

import runpy
from pathlib import Path

import pytest
import yaml

pytest.importorskip("launch_ros", reason="a ROS without launch_ros: its launch files are not used")
FOLDER = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.launch.py")), ids=lambda path: path.name)
def test_a_launch_file_describes_nodes(path):
    described = runpy.run_path(str(path))["generate_launch_description"]()
    kinds = [type(entity).__name__ for entity in described.entities]
    assert "Node" in kinds and "DeclareLaunchArgument" in kinds


@pytest.mark.parametrize("path", sorted(FOLDER.glob("config/*.yaml")), ids=lambda path: path.name)
def test_a_parameter_file_is_one_for_every_node(path):
    assert list(yaml.safe_load(path.read_text())) == ["/**"]
