"""Drivers of arms without a vendor's driver: servos on a serial bus. No ROS here; nodes wire
them.
"""
