"""Verbs of `conure` for the robot."""
