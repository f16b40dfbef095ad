"""What tasks.py assembles; docs/architecture.md has the map, and what each folder may import."""

import atexit
import gc
import sys

# Invoke turns the bytecode cache off for the project it loads; without the cache every command,
# even a TAB, would compile these modules again.
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)

# The SDKs make many objects that all live to the end. Looking for garbage among them, again and
# again and once more at the exit, takes a quarter of the time of a short command.
gc.set_threshold(50_000, 20, 100)
atexit.register(gc.freeze)
