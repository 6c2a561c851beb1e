"""Whether an arm kept its promises, decided without anything of conure_core but the files of its
robots, its errors and its names for arrays.

`description` and `meshes` read a robot's YAML and URDF, `clearances` measures by PyBullet, `rules`
judges.
"""
