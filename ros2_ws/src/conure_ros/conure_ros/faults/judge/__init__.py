"""Judges whether an arm kept its limits. It uses nothing of conure_core but its robot files, its
errors and its names for arrays.

`description` and `meshes` read a robot's YAML and URDF, `clearances` measures with PyBullet,
`rules` judges.
"""
