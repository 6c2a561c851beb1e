"""`conure bench calibration`: the solvers against a truth that they are not told."""
