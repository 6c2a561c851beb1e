"""Messages, qualities of service, parameters, lifecycle: what every node shares."""
