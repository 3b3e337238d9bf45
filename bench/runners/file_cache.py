"""How much of a file the OS holds in memory already: what a cold load did not have to read from the disk."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path


def cached_share(path: Path) -> float | None:
    """Share (0 to 1) of a file's pages in the OS's file cache, by mincore(2); of a folder's files together.

    None where the OS does not tell.
    """
    try:
        files = [path] if path.is_file() else [file for file in sorted(path.rglob("*")) if file.is_file()]
        pages_of_files = [_pages(file) for file in files if file.stat().st_size]
    except (OSError, AttributeError, ValueError):
        return None
    total = sum(pages for _, pages in pages_of_files)
    return sum(cached for cached, _ in pages_of_files) / total if total else None


def _pages(file: Path) -> tuple[int, int]:
    """How many pages are cached, of how many."""
    libc = ctypes.CDLL(None, use_errno=True)
    with file.open("rb") as handle, mmap.mmap(handle.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=_PROTECTION) as mapped:
        pages = -(-len(mapped) // mmap.PAGESIZE)
        flags = (ctypes.c_ubyte * pages)()
        start = (ctypes.c_char * len(mapped)).from_buffer(mapped)
        try:
            failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(len(mapped)), flags)
        finally:
            del start  # the map cannot be closed while it is used
        if failed:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return sum(page & 1 for page in flags), pages


# A private map that could be written to is what ctypes takes; nothing is written.
_PROTECTION = mmap.PROT_READ | mmap.PROT_WRITE
