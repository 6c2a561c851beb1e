"""What is said where a service is missing: whether a node of an older release offers it."""

import pytest
import rclpy
from std_srvs.srv import Trigger

from conure_ros.comms.service_names import HOME, SCENE_RESET, SCENE_STATUS, name_hint

pytestmark = pytest.mark.nodes


def test_a_service_of_an_older_release_is_named_where_the_new_one_is_missing(context, wait_until):
    node = rclpy.create_node("looks", namespace="left")
    older = rclpy.create_node("older", namespace="left")
    assert name_hint(node, SCENE_STATUS) == ""
    older.create_service(Trigger, "task_status", lambda request, response: response)
    wait_until(lambda: name_hint(node, SCENE_STATUS), 10)
    assert "'task_status' of an older release" in name_hint(node, SCENE_STATUS)
    assert name_hint(node, SCENE_RESET) == name_hint(node, HOME) == ""
    older.destroy_node()
    node.destroy_node()
