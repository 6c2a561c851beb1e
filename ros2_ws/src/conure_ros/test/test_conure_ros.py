"""What is installed works without the repository: every node of the table starts from an entry
point, with its parameter file.
"""

from importlib import import_module

import pytest

from conure_ros.bringup.graph_parameters import file_parameters
from conure_ros.bringup.graphs import GRAPHS

NODES = {node.executable: node for graph in GRAPHS.values() for node in graph.possible_nodes()}
# The simulated arm needs conure_sim, which is no ROS package.
ON_THE_ROBOT = {name: node for name, node in NODES.items() if name != "sim_robot_node"}


@pytest.mark.parametrize("node", ON_THE_ROBOT.values(), ids=ON_THE_ROBOT)
def test_a_node_can_be_imported_and_started(node):
    assert callable(import_module(node.module).main)


@pytest.mark.parametrize("node", NODES.values(), ids=NODES)
def test_a_nodes_parameter_file_is_found(node):
    assert isinstance(file_parameters(node), dict)
