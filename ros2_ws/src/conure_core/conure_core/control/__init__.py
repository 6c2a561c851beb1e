"""From an action to a joint command that the arm may follow. Pure: no clock, no I/O."""
