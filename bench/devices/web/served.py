"""Files of bundles that pages may fetch: by the hash of their content, so that no request names a path."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pocketgan.bench.devices.transport import SessionFile
from pocketgan.errors import storage_errors
from pocketgan.files import atomic_file


class ServedFiles:
    """What one session serves, to all phones alike; each content lies there once.

    Args:
        folder: for it alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._paths: dict[str, SessionFile] = {}

    def add(self, file: SessionFile) -> None:
        """Serve it from now on, whatever becomes of its source.

        Raises:
            StorageError: the disk is full or refuses.
        """
        target = self._folder / file.sha256
        with self._lock, storage_errors(target):
            if not target.exists():
                try:
                    os.link(file.source, target)
                except OSError:  # another file system, or one without links
                    with atomic_file(target) as temporary:
                        shutil.copyfile(file.source, temporary)
            self._paths[file.path] = file

    def by_path(self) -> Mapping[str, str]:
        """SHA-256 of every file, by its path in a session folder."""
        with self._lock:
            return {path: file.sha256 for path, file in self._paths.items()}

    def of_bundles(self, digests: Collection[str]) -> dict[str, dict[str, Any]]:
        """SHA-256 and bytes of every file of these bundles, by its path in a session folder."""
        with self._lock:
            found = {path: file for path, file in self._paths.items() if path.split("/")[1] in digests}
        return {path: {"sha256": file.sha256, "bytes": file.bytes} for path, file in found.items()}

    def find(self, sha256: str) -> Path | None:
        """The file of that content, None where none is served."""
        with self._lock:
            there = any(file.sha256 == sha256 for file in self._paths.values())
        return self._folder / sha256 if there else None
