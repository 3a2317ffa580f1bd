"""Other processes' runs, as followers here read them from Redis."""
