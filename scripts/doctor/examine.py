"""The checks of doctor: which there are, running them, applying safe fixes."""

from collections.abc import Callable, Sequence
from functools import partial

from scripts import clients, stacks, state
from scripts.cli import confirmation, output
from scripts.doctor import data
from scripts.engine import checks
from scripts.engine.checks import Check, Finding, fail, note, ok
from scripts.environment import journal, recovery
from scripts.errors import DevError, LoginRefusedError, explain
from scripts.settings import Settings
from scripts.stacks import Service, passwords


def run(load: Callable[[], Settings], fix: bool = False, agreed: bool = False) -> list[Finding]:
    """What every check finds; with `fix`, after the fixes: those that delete data ask for it."""
    listed = list_checks(load)
    findings = checks.run(listed)
    if not fix:
        return findings
    try:
        with state.lock(_load_or_default(load), "doctor --fix", output.say):
            _repair(listed, findings, agreed)
    except DevError as error:
        output.say(f"nothing was fixed: {error.reason}")
    return checks.run(list_checks(load))


def list_checks(load: Callable[[], Settings]) -> list[Check]:
    """Every check; with settings that cannot be read, those that need none."""
    from scripts.doctor import machine  # it imports psutil, which listing the tasks must not

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


def _load_or_default(load: Callable[[], Settings]) -> Settings:
    try:
        return load()
    except DevError:
        return Settings()


def _repair(listed: Sequence[Check], findings: Sequence[Finding], agreed: bool) -> None:
    for check, finding in zip(listed, findings, strict=True):
        if finding.state == "ok" or not check.repair:
            continue
        try:
            if check.loses:
                confirmation.confirm_removal(check.loses(), agreed, "./invoke doctor --fix --yes")
            done = check.repair()
        except Exception as error:
            failure = explain(error)
            if not failure:
                raise
            done = [f"not fixed: {failure.message}"]
        for line in done:
            output.say(f"{check.name}: {line}")


def _of_services(settings: Settings) -> list[Check]:
    """The services of the chosen stack, their ports, and what they hold."""
    try:
        services = stacks.list_services(settings)
        running = {service.name for service in services if service.is_running()}
        crashed = {service.name for service in services if service.has_crashed()}
    except DevError as error:
        return [Check("stack", partial(checks.of_error, error))]
    of_ports = [
        Check(f"{service.name} port", partial(_port, settings, service, service.name in running))
        for service in services
        if service.port_setting
    ]
    return [
        *(Check(one.name, partial(_service, settings, one), one.needs) for one in services),
        *of_ports,
        Check("changes", partial(_changes, settings)),
        *data.checks(settings, running | crashed),
    ]


def _changes(settings: Settings) -> Finding:
    """Was a reset, an undo or a restore interrupted?"""
    change = journal.find_pending(settings)
    if not change:
        return ok("none is incomplete")
    if holder := state.find_lock_holder(settings):
        return note(f"{change.command} is running: {holder}", "wait for it")
    reason = f"{change.command} was interrupted"
    if journal.is_damaged(change):
        reason += f", and {journal.get_note(settings)} is damaged"
    return fail(reason, f"{recovery.FORWARD} (completes it)")


def _service(settings: Settings, service: Service) -> Finding:
    """A server that crashed is a failure, one that was not started or was stopped is none."""
    reason = service.health()
    if reason is None:
        return ok(f"running at {service.address()}")
    if service.is_running():
        login = None if reason == clients.SILENT else _find_login_failure(settings, service)
        return login or fail(reason, f"./invoke restart {service.name}")
    if service.has_crashed():
        return fail("it has crashed or was killed", "./invoke up")
    return note(reason, "./invoke up")


def _find_login_failure(settings: Settings, service: Service) -> Finding | None:
    if service.name != "postgres":
        return None
    try:
        passwords.check_login(settings, stacks.targets(settings).database)
    except LoginRefusedError as error:
        return checks.of_error(error)
    return None


def _port(settings: Settings, service: Service, runs: bool) -> Finding:
    from scripts.doctor import machine

    ours = int(service.address().rpartition(":")[2]) if runs else None
    return machine.port(settings, service.port_setting, ours)
