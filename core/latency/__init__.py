"""How long a runtime on this device takes for a network: measured, predicted, and searched for."""
