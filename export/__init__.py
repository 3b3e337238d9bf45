"""From a generator to files that a runtime loads, each measured against the module that it comes from."""
