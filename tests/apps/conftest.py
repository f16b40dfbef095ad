"""Apps of other repositories, set up from their own folders by this tool."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.apps.shapes import Shape
from tests.conftest import PROJECT, clean_environment, remove_state


@dataclass(frozen=True)
class RealApp:
    """An app in a folder of its own, used through the tool's command line."""

    root: Path

    def run(
        self, *words: str, expect: int = 0, env: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, PROJECT / "tasks.py", *words],
            cwd=self.root,
            env=clean_environment()
            | {"DEV_APP": str(self.root), "PYTHON": sys.executable}
            | dict(env or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == expect, done.stderr + done.stdout
        return done

    def variables(self) -> dict[str, str]:
        """What `env` prints."""
        found: dict[str, str] = json.loads(self.run("env", "--format", "json").stdout)
        return found


@pytest.fixture
def make_app(tmp_path: Path) -> Iterator[Callable[[Shape], RealApp]]:
    """Write the files of a shape, and its app.toml by `init`."""
    roots: list[Path] = []

    def make(shape: Shape, name: str = "app") -> RealApp:
        root = tmp_path / name
        roots.append(root)
        for path, text in shape.files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        made = RealApp(root)
        made.run("init", str(root), env={"DEV_APP": ""})
        with (root / "app.toml").open("a") as file:
            file.write(shape.added)
        return made

    yield make
    for root in roots:
        if (root / "app.toml").exists():
            remove_state(root)
