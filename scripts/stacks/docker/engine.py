"""The Docker engine that the user's docker command would use, asked through its SDK."""

import contextlib
import io
import json
import os
import shutil
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scripts import shell
from scripts.errors import DevError

ENGINE_SECONDS, QUESTION_SECONDS = 60, 5  # for what the engine does, and for what it is asked
_SILENT_SECONDS = 3.0  # how long an engine that did not answer is not asked again
STOP_SECONDS, _COPY_SECONDS = 30, 3600
_PROJECT = "com.docker.compose.project"
_SERVICE = "com.docker.compose.service"
_VOLUME = "com.docker.compose.volume"
_FOLDER = "com.docker.compose.project.working_dir"
_START = "open -a Docker" if sys.platform == "darwin" else "sudo systemctl start docker"
_HINTS: dict[type[BaseException], str] = {
    FileNotFoundError: _START,
    ConnectionRefusedError: _START,
    PermissionError: "join its group (sudo usermod -aG docker $USER), then log in again",
}


@dataclass(frozen=True)
class Endpoint:
    """Where an engine is asked; `tls` is a folder with ca.pem, cert.pem and key.pem, or None."""

    url: str
    tls: Path | None = None
    verify: bool = True

    @property
    def host(self) -> str:
        """The host at which the ports of its containers are found."""
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1" if parts.scheme in ("tcp", "ssh") else "127.0.0.1"


@cache
def endpoint() -> Endpoint:
    """The engine of DOCKER_HOST, or else of the docker context in force, as docker itself sees it.

    Raises DevError without a docker command, or for a context that is not there.
    """
    if not shutil.which("docker"):
        raise DevError(
            "there is no docker command",
            "install Docker Engine with its Compose plugin",
        )
    done = shell.run(["docker", "context", "inspect", "--format", "{{json .}}"])
    if done.returncode:
        raise DevError(f"docker context: {done.stderr.strip()}", "docker context ls")
    context = json.loads(done.stdout)
    found = context["Endpoints"]["docker"]
    folder = Path(context["Storage"]["TLSPath"]) / "docker"
    if os.environ.get("DOCKER_HOST"):
        folder = Path(os.environ.get("DOCKER_CERT_PATH") or Path.home() / ".docker")
        secure = bool(os.environ.get("DOCKER_TLS_VERIFY"))
    else:
        secure = bool(context.get("TLSMaterial"))
    return Endpoint(found["Host"], folder if secure else None, not found.get("SkipTLSVerify"))


_TIMED_OUT = "timed out"
_silent_at = float("-inf")


@contextlib.contextmanager
def engine(seconds: int = QUESTION_SECONDS) -> Iterator[Any]:
    """The SDK's client. Raises DevError with the fix where the engine does not answer in time."""
    global _silent_at
    import docker.errors
    import requests.exceptions

    where = endpoint()
    if time.monotonic() - _silent_at < _SILENT_SECONDS:
        raise _no_answer(where, TimeoutError(_TIMED_OUT))
    try:
        yield _client(where, seconds)
    except docker.errors.APIError as error:
        raise DevError(f"the Docker engine at {where.url}: {error.explanation or error}") from None
    except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
        if _TIMED_OUT in str(error):
            _silent_at = time.monotonic()
        raise _no_answer(where, error) from None


@cache
def _client(where: Endpoint, seconds: int) -> Any:
    import docker
    from docker.tls import TLSConfig

    tls = where.tls and TLSConfig(
        client_cert=(str(where.tls / "cert.pem"), str(where.tls / "key.pem")),
        ca_cert=str(where.tls / "ca.pem"),
        verify=where.verify,
    )
    ssh = where.url.startswith("ssh://")
    return docker.DockerClient(
        base_url=where.url, tls=tls or False, timeout=seconds, use_ssh_client=ssh
    )


def _no_answer(where: Endpoint, error: BaseException) -> DevError:
    """Says why, from the chain of errors that the SDK wraps around the first one."""
    cause: BaseException | None = error
    while cause and type(cause) not in _HINTS:
        cause = next((arg for arg in cause.args if isinstance(arg, BaseException)), None) or (
            cause.__cause__ or cause.__context__
        )
    if isinstance(cause, PermissionError):
        reason = f"you have no permission to use the Docker engine at {where.url}"
    elif cause:
        reason = f"no Docker engine runs at {where.url}"
    else:
        why = f"it {_TIMED_OUT}" if _TIMED_OUT in str(error) else str(error)
        reason = f"no answer from the Docker engine at {where.url}: {why}"
    hint = _HINTS.get(type(cause), "docker version") if cause else "docker version"
    return DevError(reason, hint)


def version() -> str:
    """Which engine it is, and where."""
    with engine() as client:
        return f"{client.version()['Version']} at {endpoint().url}"


def has_image(image: str) -> bool:
    """Has the engine this image already?"""
    import docker.errors

    with engine() as client:
        try:
            client.images.get(image)
        except docker.errors.NotFound:
            return False
    return True


def list_folders() -> dict[str, Path]:
    """The folder of each Compose project that has containers, by the project's name."""
    with engine() as client:
        found = client.containers.list(all=True, filters={"label": _FOLDER}, ignore_removed=True)
        return {one.labels[_PROJECT]: Path(one.labels[_FOLDER]) for one in found}


def list_names(project: str) -> tuple[list[str], list[str]]:
    """The names of a project's containers and of its volumes."""
    label = {"label": f"{_PROJECT}={project}"}
    with engine() as client:
        containers = client.containers.list(all=True, filters=label, ignore_removed=True)
        volumes = client.volumes.list(filters=label)
        return [one.name for one in containers], [one.name for one in volumes]


def remove_project(project: str) -> None:
    """Remove the containers of a project, its volumes with their data, and its network."""
    label = {"label": f"{_PROJECT}={project}"}
    with engine(ENGINE_SECONDS) as client:
        for container in client.containers.list(all=True, filters=label, ignore_removed=True):
            container.remove(v=True, force=True)
        for volume in client.volumes.list(filters=label):
            volume.remove()
    remove_network(project)


def copy_volume(source: Any, project: str, service: str, image: str) -> None:
    """Make the volume of a project's service with the content of another; its image has a shell."""
    labels = {_PROJECT: project, _VOLUME: service}
    with engine(_COPY_SECONDS) as client:
        volume = client.volumes.create(f"{project}_{service}", labels=labels)
        client.containers.run(
            image,
            ["-c", "rm -rf /to/* && cp -a /from/. /to/"],  # the first: of a copy that was killed
            entrypoint="sh",
            user="root",
            network_mode="none",
            remove=True,
            volumes={source.name: {"bind": "/from"}, volume.name: {"bind": "/to"}},
        )


def find_container(project: str, service: str) -> Any | None:
    """The container of a project's service, running or not; None where there is none."""
    labels = [f"{_PROJECT}={project}", f"{_SERVICE}={service}"]
    with engine() as client:
        found = client.containers.list(all=True, filters={"label": labels}, ignore_removed=True)
        return found[0] if found else None


def remove_container(container: Any, seconds: int = STOP_SECONDS) -> None:
    """Stop a container, by force after `seconds`, and remove it; its named volumes stay."""
    resume(container)
    with engine(ENGINE_SECONDS) as client:
        found = client.containers.get(container.id)
        found.stop(timeout=seconds)
        found.remove(v=True, force=True)


def resume(container: Any) -> None:
    """Let a container that was paused go on: it neither answers nor stops before that."""
    if container.status == "paused":
        with engine(ENGINE_SECONDS):
            container.unpause()


def has_network(project: str) -> bool:
    """Has Compose made the project's network?"""
    return bool(_networks(project))


def remove_network(project: str) -> None:
    """Remove the project's network, unless another container is still in it."""
    import docker.errors

    for network in _networks(project):
        with contextlib.suppress(docker.errors.APIError):
            network.remove()


def _networks(project: str) -> list[Any]:
    with engine() as client:
        return list(client.networks.list(filters={"label": f"{_PROJECT}={project}"}))


def published_port(container: Any) -> int | None:
    """The host's port that a running container publishes, None for none."""
    bindings = (container.attrs["NetworkSettings"].get("Ports") or {}).values()
    return next((int(pairs[0]["HostPort"]) for pairs in bindings if pairs), None)


def find_publisher(port: int) -> str | None:
    """Who publishes this port of the engine's host, in words; None for no container."""
    with engine() as client:
        publishing = {"publish": str(port)}
        for container in client.containers.list(filters=publishing, ignore_removed=True):
            project = container.labels.get(_PROJECT)
            return f"the container {container.name}" + (f" of {project}" if project else "")
    return None


def started_at(container: Any) -> datetime | None:
    """Since when a container runs, as aware UTC; None where it does not."""
    if container.status != "running":
        return None
    started = str(container.attrs["State"]["StartedAt"])
    return datetime.fromisoformat(started[:19]).replace(tzinfo=UTC)


def read_log(container: Any, lines: int, follow: bool) -> Iterator[str]:
    """The last lines of a container's log; then, to follow, those that come until it stops."""
    with engine():
        if not follow:
            text: bytes = container.logs(tail=lines)
            yield from text.decode(errors="replace").splitlines()
            return
        rest = b""
        for chunk in container.logs(tail=lines, stream=True, follow=True):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line.decode(errors="replace").rstrip("\r") for line in whole)


def read_file(container: Any, path: str) -> str | None:
    """A file of a container, running or not, its volumes included; None where it is not there."""
    import docker.errors

    with engine():
        try:
            chunks, _ = container.get_archive(path)
        except docker.errors.NotFound:
            return None
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            file = archive.extractfile(archive.getmembers()[0])
            return file.read().decode(errors="replace") if file else None


def find_volume(project: str, name: str) -> Any | None:
    """A volume of a project, by its name in docker-compose.yml; None where there is none."""
    labels = [f"{_PROJECT}={project}", f"{_VOLUME}={name}"]
    with engine() as client:
        found = client.volumes.list(filters={"label": labels})
        return found[0] if found else None


def remove_volume(volume: Any) -> None:
    """Delete a volume and what is in it."""
    with engine(ENGINE_SECONDS) as client:
        client.volumes.get(volume.name).remove()
