"""Imports that survive a cut .pyc file. Run as a program, it runs the module that it is given.

Python writes its caches without noticing a full disk, and raises EOFError or ValueError at each
later import. `tasks.py` and the emulator load this file as source: its own cache could be cut.
"""

import contextlib
import runpy
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import cache_from_source
from pathlib import Path
from types import CodeType

_get_code = SourceFileLoader.get_code


def get_code(self: SourceFileLoader, name: str) -> CodeType | None:
    """The code of a module; from its source if the cache is damaged, which is removed."""
    try:
        return _get_code(self, name)
    except Exception:  # noqa: BLE001 - an error of the source is raised again below
        path = self.get_filename(name)
        with contextlib.suppress(OSError, NotImplementedError):
            Path(cache_from_source(path)).unlink()
        return self.source_to_code(self.get_data(path), path)


SourceFileLoader.get_code = get_code  # type: ignore[assignment, method-assign]

if __name__ == "__main__":
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
