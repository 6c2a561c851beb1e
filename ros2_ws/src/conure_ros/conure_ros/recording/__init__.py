"""Episodes and trials, written so that nothing is lost."""
