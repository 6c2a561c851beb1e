"""What calibrations change: the robot's files, the simulated camera, servos and randomization."""
