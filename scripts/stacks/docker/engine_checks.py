"""What doctor asks about Docker: the engine, Compose, the images, containers left over."""

import re
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

from scripts import state
from scripts.engine.checks import Check, Finding, note, ok
from scripts.errors import DevError
from scripts.settings import Settings
from scripts.stacks.docker import compose, engine

_OURS = re.compile(r"dev-[0-9a-f]{12}")


def checks(settings: Settings, chosen: bool, own: Collection[Path | None]) -> list[Check]:
    """Where another stack is chosen, a missing engine is no failure, and no more is asked.

    `own` are former paths of this checkout: their containers are no leftovers.
    """
    leftovers = Check(
        "leftover containers",
        lambda: _leftovers(own),
        repair=lambda: _remove_leftovers(own),
        loses=lambda: _list_leftovers(own)[1],
    )
    if not chosen:
        return [
            Check("docker engine", partial(_without, _engine, note)),
            replace(leftovers, look=partial(_without, leftovers.look, ok)),
        ]
    return [
        Check("docker engine", _engine),
        Check("docker compose", lambda: ok(compose.version()), needs=("docker engine",)),
        Check("docker images", partial(_images, settings), needs=("docker compose",)),
        replace(leftovers, needs=("docker engine",)),
    ]


def _engine() -> Finding:
    return ok(engine.version())


def _without(look: Callable[[], Finding], finding: Callable[[str], Finding]) -> Finding:
    """What is found, or where there is no engine to ask, a finding of that."""
    try:
        return look()
    except DevError as error:
        return finding(f"{error.reason}; only the docker stack needs it")


def _images(settings: Settings) -> Finding:
    wanted = sorted(compose.list_images(settings))
    missing = [image for image in wanted if not engine.has_image(image)]
    if missing:
        return note(f"not pulled yet: {', '.join(missing)}", "./invoke up --stack docker")
    return ok(", ".join(wanted))


def _leftovers(own: Collection[Path | None]) -> Finding:
    _, lines = _list_leftovers(own)
    return note("\n".join(lines), "./invoke doctor --fix") if lines else ok("none")


def _list_leftovers(own: Collection[Path | None]) -> tuple[list[str], list[str]]:
    """The projects whose folder is gone, and a line on what each has."""
    gone = {
        project: folder
        for project, folder in engine.list_folders().items()
        if _OURS.fullmatch(project) and state.is_gone(folder) and folder not in own
    }
    lines = []
    for project, folder in gone.items():
        containers, volumes = engine.list_names(project)
        lines.append(
            f"{', '.join([*containers, *volumes])} of {folder}, which was deleted or moved"
        )
    return list(gone), lines


def _remove_leftovers(own: Collection[Path | None]) -> list[str]:
    projects, lines = _list_leftovers(own)
    for project in projects:
        engine.remove_project(project)
    return [f"removed {line}" for line in lines]
