"""What doctor asks about Docker: the engine, Compose, the images, containers left over."""

import re
import shlex
from collections.abc import Callable
from functools import partial

from scripts import state
from scripts.engine.checks import Check, Finding, note, ok
from scripts.errors import DevError
from scripts.settings import Settings
from scripts.stacks.docker import compose, engine

_OURS = re.compile(r"dev-[0-9a-f]{12}")


def checks(settings: Settings, chosen: bool) -> list[Check]:
    """Where another stack is chosen, a missing engine is no failure, and no more is asked."""
    if not chosen:
        return [
            Check("docker engine", partial(_without, _engine, note)),
            Check("leftover containers", partial(_without, _leftovers, ok)),
        ]
    return [
        Check("docker engine", _engine),
        Check("docker compose", lambda: ok(compose.version()), needs=("docker engine",)),
        Check("docker images", partial(_images, settings), needs=("docker compose",)),
        Check("leftover containers", _leftovers, needs=("docker engine",)),
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


def _leftovers() -> Finding:
    """Containers whose folder is gone. Only listed: a path may be of another container's inside."""
    found = engine.list_folders()
    gone = {
        project: folder
        for project, folder in found.items()
        if _OURS.fullmatch(project) and state.is_gone(folder)
    }
    if not gone:
        return ok("none")
    lines, fixes = [], []
    for project, folder in gone.items():
        containers, volumes = engine.list_names(project)
        lines.append(f"{', '.join(containers)} of {folder}, which no longer exists")
        fixes.append(shlex.join(["docker", "rm", "--force", *containers]))
        fixes += [shlex.join(["docker", "volume", "rm", *volumes])] if volumes else []
    return note("\n".join(lines), "\n".join(fixes))
