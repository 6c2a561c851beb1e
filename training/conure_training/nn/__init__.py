"""Networks that know nothing of robots."""
