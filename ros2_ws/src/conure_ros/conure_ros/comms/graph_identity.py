"""The graph that a node belongs to. Two graphs on one ROS domain must not manage each other's
nodes. No ROS.
"""

import os
import socket
import uuid

GRAPH_VARIABLE = "CONURE_GRAPH_ID"
GRAPH_PARAMETER = "graph_id"


def new_graph_id() -> str:
    """An id for the nodes that one process starts together."""
    return f"process {os.getpid()} on {socket.gethostname()} ({uuid.uuid4().hex[:8]})"


def own_graph_id() -> str:
    """The graph that this process was started for; '' for a node that was started alone."""
    return os.environ.get(GRAPH_VARIABLE, "")
