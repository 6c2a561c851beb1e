"""Tables with objects, put up for a task."""
