"""Meaning and place of each of the seven numbers of an action: `action[GRIPPER]`."""

ACTION_SIZE = 7

TRANSLATION = slice(0, 3)
"""Of the tool along x, y, z of the base frame, as a fraction of the largest step."""

ROTATION = slice(3, 6)
"""Rotation vector in the base frame, as a fraction of the largest turn."""

MOTION = slice(0, 6)
"""Translation and rotation."""

GRIPPER = 6
"""Opening, -1 closed to +1 open."""

ACTION_NAMES = ("dx", "dy", "dz", "rx", "ry", "rz", "gripper")
"""A name for each number."""

ACTION_MEANING = (
    "translation and rotation vector of the tool in the base frame, added to the last commanded"
    " tool pose, as a fraction of the largest step; then the gripper opening, -1 closed to +1 open"
)
"""As a bundle's spec.json says it."""
