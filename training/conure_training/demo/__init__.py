"""The main job from demonstrations to a report."""
