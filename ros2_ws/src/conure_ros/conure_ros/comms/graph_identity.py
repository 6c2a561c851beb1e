"""Which graph a node belongs to: of two on one ROS domain, neither may lead the other's nodes. No
ROS.
"""

import os
import socket
import uuid

GRAPH_VARIABLE = "CONURE_GRAPH_ID"
GRAPH_PARAMETER = "graph_id"


def new_graph_id() -> str:
    """For the nodes that one process starts together."""
    return f"process {os.getpid()} on {socket.gethostname()} ({uuid.uuid4().hex[:8]})"


def own_graph_id() -> str:
    """Of the graph that this process was started for; empty for a node that somebody started by
    itself.
    """
    return os.environ.get(GRAPH_VARIABLE, "")
