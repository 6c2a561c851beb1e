"""The sim-to-real gap: how much of what simulation promised arrives."""
