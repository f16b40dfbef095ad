"""The program that the embedded AWS emulator runs: `python -m scripts.emulator`."""
