"""Models that pocketgan did not make: measured, counted, and teachers of its students."""
