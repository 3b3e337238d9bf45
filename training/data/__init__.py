"""Image data: paired folders and the photos that ship with installed packages."""
