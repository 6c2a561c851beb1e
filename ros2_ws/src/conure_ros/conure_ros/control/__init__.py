"""What moves the arm and what ends motion. Decisions are pure; nodes wire them."""
