"""pocketgan: compress image-to-image GANs, ship them to phones, and prove the frame rate."""

__version__ = "0.1.0"
