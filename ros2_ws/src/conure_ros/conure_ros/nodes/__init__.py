"""The ROS 2 nodes: wiring between topics, services and what decides."""
