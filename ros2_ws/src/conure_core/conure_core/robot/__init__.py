"""One arm: its YAML file, its URDF, its kinematics, what it measures and how commands reach it."""
