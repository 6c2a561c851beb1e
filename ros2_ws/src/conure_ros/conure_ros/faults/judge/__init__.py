"""Whether an arm kept its promises, decided without anything of conure_core but the files of its robots and its errors.

`description` reads a robot's YAML and URDF (and `meshes`), `clearances` measures distances with PyBullet, `rules` judges.
"""
