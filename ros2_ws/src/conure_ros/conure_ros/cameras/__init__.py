"""Real cameras: sources of frames, their health, and their way to a policy's image. No ROS."""
