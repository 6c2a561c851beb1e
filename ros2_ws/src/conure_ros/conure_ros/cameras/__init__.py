"""Real cameras: where frames come from, whether they are fit to be acted on, and what becomes of
them. No ROS.
"""
