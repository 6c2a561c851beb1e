"""Drivers of arms that need no vendor's: servos on a serial bus. No ROS in here; the nodes are thin
wiring over it.
"""
