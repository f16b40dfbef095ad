"""The rooms below tasks.py; docs/architecture.md says who may import whom."""

import sys

# Invoke turns the bytecode cache off for the project it loads; without the cache every command,
# even a TAB, would compile these modules again.
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)
