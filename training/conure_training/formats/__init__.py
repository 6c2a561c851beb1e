"""Data sets of other projects: LeRobotDataset v3 and robomimic HDF5, read and written."""
