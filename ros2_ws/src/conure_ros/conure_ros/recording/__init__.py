"""Recordings of episodes, and trials."""
