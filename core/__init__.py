"""pocketgan: compress image-to-image GANs, export them for phones, and measure frame rates."""

__version__ = "0.1.0"
