"""The page that measures in any phone's browser, as `pocketgan.bench.devices.web` serves it. No Python runs here."""
