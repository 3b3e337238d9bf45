"""The bundle format (`.pgb`): what a bundle says of itself, the strict ZIP it is, reading, checking and packing."""
