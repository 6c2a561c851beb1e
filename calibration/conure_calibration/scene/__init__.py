"""The scene that the arm works in: its table, and how images of it look."""
