"""Files, processes, cores and memory: no learning and no robotics."""
