"""docker-compose.yml through the docker command, as a project that is this checkout's own."""

import os
import re
import subprocess
import threading

from scripts import shell, state
from scripts.errors import DevError
from scripts.settings import ROOT, Settings
from scripts.stacks.docker import engine

_TAKEN = re.compile(r"port is already allocated|address already in use")
_NO_SUCH_ADDRESS = re.compile(r"cannot assign requested address")
_making_network = threading.Lock()


class PortTakenError(Exception):
    """Another program or container uses the port."""


def up(settings: Settings, service: str, environment: dict[str, str]) -> None:
    """Make the service's container as the file has it, and start it; its image is pulled first.

    `environment` holds the variables of the file. Raises PortTakenError, or DevError with the fix.
    """
    done = _up(settings, service, environment)
    if done.returncode and not engine.has_image(image := list_images(settings, service)[0]):
        _pull(settings, service, image)
        done = _up(settings, service, environment)
    if done.returncode:
        if _TAKEN.search(done.stderr):
            raise PortTakenError
        if _NO_SUCH_ADDRESS.search(done.stderr):
            raise DevError(
                f"{service} cannot be published there: {_last_line(done)}",
                f"set {settings.variable('docker_publish')} to an address of the engine's machine",
            )
        raise DevError(f"docker compose up {service}: {_last_line(done)}", "docker compose config")


def version() -> str:
    """The version of the plugin. Raises DevError where there is none."""
    done = shell.run(["docker", "compose", "version", "--short"])
    if done.returncode:
        raise _no_plugin()
    return done.stdout.strip()


def list_images(settings: Settings, *services: str) -> list[str]:
    """The images of the file's services. Raises DevError for a file that Compose cannot read."""
    done = _call(settings, ["config", "--images", *services], {})
    if done.returncode:
        raise DevError(f"docker-compose.yml: {_last_line(done)}", "docker compose config")
    return done.stdout.split()


def _pull(settings: Settings, service: str, image: str) -> None:
    done = _call(settings, ["pull", "--quiet", service], {})
    if done.returncode:
        raise DevError(
            f"the image {image} cannot be pulled: {_last_line(done)}",
            f"docker pull {image}",
        )


def _up(
    settings: Settings, service: str, environment: dict[str, str]
) -> "subprocess.CompletedProcess[str]":
    """Two at once would both make the project's network: the first one makes it alone."""
    words = ["up", "--detach", "--no-build", "--pull=never", service]
    with _making_network:
        if not engine.has_network(state.identity(settings)):
            return _call(settings, words, environment)
    return _call(settings, words, environment)


def _call(
    settings: Settings, words: list[str], environment: dict[str, str]
) -> "subprocess.CompletedProcess[str]":
    """Run docker compose on the checkout's file; the user's COMPOSE_* and .env have no say."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("COMPOSE_")}
    options = {
        "--project-name": state.identity(settings),
        "--project-directory": str(settings.root),
        "--file": str(ROOT / "docker-compose.yml"),
        "--env-file": os.devnull,
        "--progress": "plain",
    }
    flags = [word for pair in options.items() for word in pair]
    done = shell.run(["docker", "compose", *flags, *words], env=inherited | environment)
    if done.returncode:
        version()
    return done


def _no_plugin() -> DevError:
    return DevError(
        "docker has no compose plugin",
        "install it (Debian, Ubuntu: apt install docker-compose-plugin)",
    )


def _last_line(done: "subprocess.CompletedProcess[str]") -> str:
    return (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1].strip()
