"""Intrinsics, hand-eye, joint offsets, latency and servo dynamics, as pure functions under thin
commands; nothing here needs ROS or a simulator.
"""
