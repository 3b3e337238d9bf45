"""Ready-made recipes, run by name: `pocketgan run demo`."""
