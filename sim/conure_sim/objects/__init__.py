"""Objects and fixtures that stand on the table."""
