"""What outcomes of trials say: differences, tests, posteriors, agreement, and trials needed."""
