"""Verbs of `conure` on the robot."""
