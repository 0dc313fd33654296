"""What was read and decided, week by week, append-only."""
