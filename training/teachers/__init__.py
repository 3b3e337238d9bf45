"""Who makes the pairs that a generator learns from."""
