"""`python -m pocketgan`, also under `accelerate launch -m pocketgan`."""

from pocketgan.cli import main

if __name__ == "__main__":
    main()
