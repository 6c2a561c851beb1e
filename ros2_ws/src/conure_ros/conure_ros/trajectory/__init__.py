"""Joint trajectories: checked before the arm moves, then followed. Pure."""
