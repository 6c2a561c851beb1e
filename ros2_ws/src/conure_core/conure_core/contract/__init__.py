"""The contract between environment, policy and robot, and the bundle that carries it."""
