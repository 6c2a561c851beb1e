"""Episodes that begin in the states of one demonstration, earlier and earlier."""
