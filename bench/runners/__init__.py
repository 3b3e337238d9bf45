"""One program per runtime: loads models, checks them against golden outputs, times them. Each runs as a subprocess."""
