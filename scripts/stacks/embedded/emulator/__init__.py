"""The emulator's program: `python -m scripts.stacks.embedded.emulator`.

item_log       items in a log on disk, written before a request is answered
"""
