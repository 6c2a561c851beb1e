"""Read a recorded episode (MCAP) without ROS: topics, joints, images.

python examples/read_a_recording.py out/demo/trials/trial_000000.mcap
"""

import sys
from collections import Counter
from pathlib import Path

from conure_ros.recording.episodes import Episode

episode = Episode(Path(sys.argv[1]))
counts = Counter(recorded.topic for recorded in episode.messages())
for topic, count in sorted(counts.items()):
    print(f"{topic:24} {count:5}")

joints = next(iter(episode.messages("/joint_states"))).message
print("first joint angles, rad:", *(f"{value:+.2f}" for value in joints.position))
for stamp_ns, image in episode.images():
    print(f"first image: {image.shape}, taken at {stamp_ns / 1e9:.2f} s")
    break
