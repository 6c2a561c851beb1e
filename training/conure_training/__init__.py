"""Data sets, flows, encoders, learners, evaluation and export."""
