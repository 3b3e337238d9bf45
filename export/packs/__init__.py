"""Packs: one bundle of a base and several concepts, which share the base's weights (docs/bundle.md, "Packs")."""
