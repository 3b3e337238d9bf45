"""From a generator to files that a runtime loads, each measured against the module that it comes from."""

from pocketgan.export.entry import EXPORT_VERSION, Artifact, entry_id, export

__all__ = ["EXPORT_VERSION", "Artifact", "entry_id", "export"]
