"""The Docker engine that the tests of the docker stack use, where there is one."""

import os
import shutil
import subprocess
from pathlib import Path

from scripts import settings, state

PROJECT = Path(__file__).resolve().parent.parent
PULL_SECONDS = 600


def docker(*words: str, check: bool = True, timeout: float = 60) -> str:
    """What a docker command prints."""
    done = subprocess.run(
        ["docker", *words], capture_output=True, text=True, timeout=timeout, check=False
    )
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


def why_not() -> str | None:
    """Why the docker tests cannot run here, None when they can."""
    if not shutil.which("docker"):
        return "there is no docker command"
    for words in (["docker", "version"], ["docker", "compose", "version"]):
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            return done.stderr.strip().splitlines()[-1]
    compose = [
        "docker",
        "compose",
        "--file",
        str(PROJECT / "docker-compose.yml"),
        "--env-file",
        os.devnull,
    ]
    images = subprocess.check_output([*compose, "config", "--images"], text=True).split()
    if subprocess.run(["docker", "image", "inspect", *images], capture_output=True).returncode:
        pull = subprocess.run(
            [*compose, "pull", "--quiet"], capture_output=True, text=True, timeout=PULL_SECONDS
        )
        if pull.returncode:
            return f"no images: {pull.stderr.strip().splitlines()[-1]}"
    return None


def remove_containers(root: Path) -> None:
    """Remove whatever docker has of a checkout."""
    if not shutil.which("docker"):
        return
    label = f"label=com.docker.compose.project={state.identity(settings.load(root, {}))}"
    for what, flags in (("container", ["--all"]), ("network", []), ("volume", [])):
        found = docker(what, "ls", "--quiet", *flags, "--filter", label, check=False).split()
        if found:
            docker(what, "rm", *(["--force"] if what != "network" else []), *found)
