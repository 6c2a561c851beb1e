"""Whether an arm kept its promises, decided without anything of conure_core but the files of its robots.

`description` reads a robot's YAML and URDF, `clearances` measures distances with PyBullet, `rules` judges.
"""
