"""Pictures, galleries and recordings."""
