"""Intrinsics, hand-eye, latency and system identification, as pure functions."""
