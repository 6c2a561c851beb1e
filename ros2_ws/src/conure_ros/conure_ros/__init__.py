"""The ROS 2 nodes: thin wiring over conure_core."""
