"""doctor: what is well here, what is not, and what to do about it."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from scripts import stacks, state
from scripts.cli import output
from scripts.doctor import data
from scripts.engine import checks
from scripts.engine.checks import Check, Finding, fail, note, ok
from scripts.environment import transaction
from scripts.errors import DevError
from scripts.settings import Settings
from scripts.stacks import Service


def run(load: Callable[[], Settings], mend: bool = False) -> list[Finding]:
    """What every check finds; to mend, once what is safe to do was done, and said."""
    listed = list_checks(load)
    findings = checks.run(listed)
    if not mend:
        return findings
    try:
        with state.lock(_load_or_default(load), "doctor --fix", output.say):
            _mend(listed, findings)
    except DevError as error:
        output.say(f"nothing is mended: {error.reason}")
    return checks.run(list_checks(load))


def list_checks(load: Callable[[], Settings]) -> list[Check]:
    """Every check. With settings that cannot be read, those that need none."""
    from scripts.doctor import (
        machine,  # it knows processes, and listing the tasks must not wait for that
    )

    try:
        settings = load()
    except DevError as error:
        return [Check("settings", partial(checks.of_error, error)), *machine.checks(Settings())]
    return [
        *machine.list_settings(settings),
        *machine.checks(settings),
        *_of_services(settings),
        *stacks.checks(settings),
    ]


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """The findings as aligned lines: how it is, what was looked at, the reason, the fix."""
    width = max(len(finding.check) for finding in findings)
    for one in findings:
        first, *more = one.reason.splitlines() or [""]
        yield f"{one.state:4}  {one.check:{width}}  {first}".rstrip()
        fixes = [f"fix: {line}" for line in one.fix.splitlines()]
        yield from (f"{'':4}  {'':{width}}  {line}".rstrip() for line in [*more, *fixes])


def summary(findings: Sequence[Finding]) -> str:
    """One line: how many fail, and which."""
    failed = [finding.check for finding in findings if finding.state == "FAIL"]
    if failed:
        return f"doctor: {len(failed)} of {len(findings)} checks fail: {', '.join(failed)}"
    return f"doctor: {len(findings)} checks, none fails"


def _load_or_default(load: Callable[[], Settings]) -> Settings:
    try:
        return load()
    except DevError:
        return Settings()


def _mend(listed: Sequence[Check], findings: Sequence[Finding]) -> None:
    for check, finding in zip(listed, findings, strict=True):
        if finding.state == "ok" or not check.repair:
            continue
        try:
            done = check.repair()
        except DevError as error:
            done = [f"not mended: {error.reason}"]
        for line in done:
            output.say(f"{check.name}: {line}")


def _of_services(settings: Settings) -> list[Check]:
    """The services of the chosen stack, their ports, and what they hold."""
    try:
        services = stacks.get(settings).services(settings)
        running = {service.name for service in services if service.is_running()}
    except DevError as error:
        return [Check("stack", partial(checks.of_error, error))]
    of_ports = [
        Check(f"{service.name} port", partial(_port, settings, service, service.name in running))
        for service in services
        if service.port_setting
    ]
    return [
        *(Check(service.name, partial(_service, service)) for service in services),
        *of_ports,
        Check("changes", partial(_changes, settings)),
        *data.checks(settings, running),
    ]


def _changes(settings: Settings) -> Finding:
    """Is a reset, an undo or a restore half-way?"""
    change = transaction.find_pending(settings)
    if not change:
        return ok("none is half-way")
    return fail(f"{change.command} is under way, or was interrupted", "./invoke setup")


def _service(service: Service) -> Finding:
    reason = service.health()
    if reason is None:
        return ok(f"runs at {service.address()}")
    if service.is_running():
        return fail(reason, f"./invoke up; what it said: ./invoke logs {service.name}")
    return note(reason, "./invoke up")


def _port(settings: Settings, service: Service, runs: bool) -> Finding:
    from scripts.doctor import machine

    ours = int(service.address().rpartition(":")[2]) if runs else None
    return machine.port(settings, service.port_setting, ours)
