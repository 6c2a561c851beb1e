"""What acts: policies as files and as functions from observations to actions."""
