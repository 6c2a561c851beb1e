"""Simulated servos on a pseudo-terminal: both protocols byte by byte, an arm's dynamics behind
them, and faults.
"""
