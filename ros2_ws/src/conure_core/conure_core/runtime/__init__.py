"""Files, processes, commits. Nothing here knows of robots."""
