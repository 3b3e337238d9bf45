"""Image data: paired, unpaired and label-map folders, and the photos that ship with installed packages."""
