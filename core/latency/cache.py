"""Measured times that are kept: per device, target, versions and number of threads."""

from __future__ import annotations

import json
from dataclasses import asdict

from pocketgan.files import cache_folder, sha256_json, write_atomic
from pocketgan.latency.platform import Platform
from pocketgan.latency.prediction import Unit


class TimesCache:
    """Milliseconds by layer, and by spec digest, of one platform; a file in the user's cache folder."""

    def __init__(self, platform: Platform, refresh: bool) -> None:
        self._identity = platform.identity()
        self.path = cache_folder() / f"latency-{platform.target}-{sha256_json(self._identity)[:16]}.json"
        self.times: dict[Unit, float] = {}
        self.networks: dict[str, float] = {}
        if not refresh:
            self._load()

    def _load(self) -> None:
        """What cannot be read is measured again."""
        try:
            stored = json.loads(self.path.read_text())
            if stored["identity"] == self._identity:
                times = {Unit(**layer): float(ms) for layer, ms in stored["times"]}
                self.networks = {str(digest): float(ms) for digest, ms in stored["networks"].items()}
                self.times = times
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass

    def save(self) -> None:
        """Raises StorageError where the folder cannot be written."""
        times = [[asdict(layer), ms] for layer, ms in self.times.items()]
        write_atomic(self.path, json.dumps({"identity": self._identity, "times": times, "networks": self.networks}))
