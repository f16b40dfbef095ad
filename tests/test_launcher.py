"""The launcher `invoke`, in small checkouts of its own whose requirements are scripts."""

import compileall
import hashlib
import io
import marshal
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

import pytest

from tests.conftest import Checkout as Project
from tests.conftest import clean_environment

LAUNCHER = Path(__file__).parents[1] / "invoke"
PYTHON = os.path.realpath(sys.executable)
TOOLS = (
    "cat",
    "chmod",
    "cmp",
    "cp",
    "echo",
    "grep",
    "mv",
    "readlink",
    "rm",
    "sleep",
    "tail",
    "touch",
)
NO_ENV: Mapping[str, str] = {}
INSTALLING = "invoke: installing 0 packages into .venv, about 2 s ...\n"
WAITING = "invoke: another ./invoke is installing into .venv; waiting for it ...\n"

TASKS = """
import os
import sys

print(os.getcwd() if sys.argv[1:2] == ["setup"] else sys.argv[1:])
"""

# Notes its call, then runs every requirements file as a script: so each test writes down what
# its installation does. What it "installs" is an empty program.
UV = """#!/bin/sh
[ "$1" != --version ] || exit 0
echo "begin $*" >>"{calls}"
while [ $# -gt 0 ]; do
    case $1 in
        --python) python=$2 ;;
        -r) . "$2" ;;
    esac
    shift
done
cp "{invoke}" "${{python%/*}}/invoke"
echo end >>"{calls}"
"""


@dataclass(frozen=True)
class Checkout:
    """A folder with the launcher, and the only folder on its PATH."""

    root: Path
    path: Path

    def require(self, script: str, dev: str = "# nothing") -> None:
        (self.root / "requirements.txt").write_text(script + "\n")
        (self.root / "requirements-dev.txt").write_text(dev + "\n")

    def start(
        self,
        *args: str,
        launcher: Path | None = None,
        cwd: Path | None = None,
        env: Mapping[str, str] = NO_ENV,
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [launcher or self.root / "invoke", *args],
            cwd=cwd or self.path,
            env={"PATH": str(self.path), "HOME": str(self.path), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A test run in the background ignores SIGINT, and so would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(
        self,
        *args: str,
        launcher: Path | None = None,
        cwd: Path | None = None,
        env: Mapping[str, str] = NO_ENV,
    ) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        process = self.start(*args, launcher=launcher, cwd=cwd, env=env)
        out, err = process.communicate(timeout=50)
        return process.returncode, out, err

    def calls(self) -> list[str]:
        calls = self.path / "calls"
        return calls.read_text().splitlines() if calls.exists() else []

    def installs(self) -> list[str]:
        return [line for line in self.calls() if line.startswith("begin")]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout in a path with spaces, with a stand-in for uv and a working python3."""
    root, path = tmp_path / "my check out", tmp_path / "bin"
    root.mkdir()
    path.mkdir()
    shutil.copy(LAUNCHER, root / "invoke")
    (root / "tasks.py").write_text(TASKS)
    for tool in TOOLS:
        (path / tool).symlink_to(shutil.which(tool) or tool)
    (path / "python3").symlink_to(PYTHON)
    write_program(path / "invoke", "#!/bin/sh\n")
    write_program(path / "uv", UV.format(calls=path / "calls", invoke=path / "invoke"))
    made = Checkout(root, path)
    made.require("# nothing")
    return made


def write_program(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def write_python(path: Path, prelude: str) -> None:
    """A Python that runs what it gets with `-c` after a prelude which bends the truth."""
    run = 'exec(sys.argv[sys.argv.index("-c") + 1])'
    write_program(path, f"#!{PYTHON}\nimport sys\n{prelude}\n{run}\n")


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited 20 seconds for nothing"
        time.sleep(0.01)


def hold(checkout: Checkout) -> None:
    """Require something whose installation lasts until `release`."""
    checkout.require(f'while [ ! -e "{checkout.root}/go" ]; do sleep 0.02; done')


def release(checkout: Checkout) -> None:
    (checkout.root / "go").touch()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline()


# Where it is called from


def test_first_start_installs_with_one_line_and_keeps_the_callers_folder(
    checkout: Checkout, tmp_path: Path
) -> None:
    assert checkout.run("setup", cwd=tmp_path) == (0, f"{tmp_path}\n", INSTALLING)


def test_symlinks_are_followed_to_the_checkout(checkout: Checkout, tmp_path: Path) -> None:
    far = tmp_path / "far" / "deep"
    far.mkdir(parents=True)
    (tmp_path / "near").symlink_to("far/deep")
    (far / "absolute").symlink_to(checkout.root / "invoke")
    (tmp_path / "second").symlink_to("near/absolute")
    # Through a linked folder `..` is the parent of where the link leads.
    (far / "relative").symlink_to("../../my check out/invoke")
    for link in (tmp_path / "second", tmp_path / "near" / "relative", Path("near/relative")):
        code, out, _ = checkout.run("setup", launcher=link, cwd=tmp_path)
        assert (code, out) == (0, f"{tmp_path}\n")
    assert len(checkout.installs()) == 1


def test_as_an_argument_of_sh_it_finds_its_own_folder(checkout: Checkout) -> None:
    checkout.run("setup")
    done = subprocess.run(
        ["/bin/sh", "invoke", "setup"], cwd=checkout.root, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"{checkout.root}\n")


def test_a_cdpath_does_not_lead_it_astray(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "astray" / "my check out").mkdir(parents=True)
    code, out, _ = checkout.run(
        "setup",
        launcher=Path("my check out/invoke"),
        cwd=tmp_path,
        env={"CDPATH": f"{tmp_path}/astray"},
    )
    assert (code, out) == (0, f"{tmp_path}\n")


def test_every_word_passes_through_and_the_exit_code_comes_back(checkout: Checkout) -> None:
    checkout.run("setup")
    words = ["--list", "a b", "", "--", "'", "-x"]
    assert checkout.run(*words) == (0, f"{words}\n", "")
    (checkout.root / "tasks.py").write_text("raise SystemExit(3)")
    assert checkout.run("nosuch")[0] == 3


# When it installs


def test_a_second_start_runs_nothing_but_cmp(checkout: Checkout) -> None:
    checkout.run("setup")
    for program in set(checkout.path.iterdir()) - {checkout.path / "cmp"}:
        program.unlink()
    assert checkout.run("setup") == (0, f"{checkout.path}\n", "")


def test_changed_requirements_are_installed_in_place(checkout: Checkout) -> None:
    checkout.run("setup")
    in_use = checkout.root / ".venv" / "a server's file"
    in_use.touch()
    checkout.require("# something else")
    code, _, err = checkout.run("setup")
    assert (code, err) == (0, INSTALLING)
    assert in_use.exists()
    assert len(checkout.installs()) == 2
    assert "--force-reinstall" not in checkout.installs()[1]


def test_a_venv_that_works_keeps_its_python(checkout: Checkout) -> None:
    checkout.run("setup")
    (checkout.path / "python3").unlink()
    checkout.require("# something else")
    assert checkout.run("setup", env={"PYTHON": "/no/python"})[::2] == (0, INSTALLING)


@pytest.mark.parametrize("task", ["test", "bench"])
def test_development_requirements_come_with_the_tasks_that_need_them(
    checkout: Checkout, task: str
) -> None:
    checkout.run("setup", task)
    assert [call.count(" -r ") for call in checkout.installs()] == [1]
    checkout.run("--echo", task)
    checkout.run("--echo", task)
    checkout.run("setup")
    assert [call.count(" -r ") for call in checkout.installs()] == [1, 2]
    assert "--require-hashes" in checkout.installs()[1]


def test_a_moved_checkout_gets_a_new_venv(checkout: Checkout, tmp_path: Path) -> None:
    checkout.run("setup")
    (checkout.root / ".venv" / "from before").touch()
    moved = Checkout(checkout.root.rename(tmp_path / "moved"), checkout.path)
    code, _, err = moved.run("setup")
    assert (code, err) == (0, INSTALLING)
    assert not (moved.root / ".venv" / "from before").exists()


def test_a_link_to_the_venv_of_another_checkout_is_left_alone(
    checkout: Checkout, tmp_path: Path
) -> None:
    (theirs := tmp_path / "theirs").mkdir()
    (theirs / "a package").touch()
    link = checkout.root / ".venv"
    link.symlink_to(theirs)
    refused = (
        f"invoke: {link} is a link to {theirs}, which was not made for this checkout. "
        "Remove the link (rm .venv), then run ./invoke again.\n"
    )
    assert checkout.run("setup") == (1, "", INSTALLING + refused)
    assert list(theirs.iterdir()) == [theirs / "a package"]
    link.unlink()
    assert checkout.run("setup")[::2] == (0, INSTALLING)


def test_a_venv_whose_python_is_gone_is_made_anew(checkout: Checkout) -> None:
    checkout.run("setup")
    python = checkout.root / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("gone")
    assert checkout.run("setup")[::2] == (0, INSTALLING)
    assert python.samefile(PYTHON)


def test_a_venv_without_its_invoke_is_installed_again_in_full(checkout: Checkout) -> None:
    checkout.run("setup")
    (checkout.root / ".venv" / "bin" / "invoke").unlink()
    assert checkout.run("setup")[::2] == (0, INSTALLING)
    assert "--force-reinstall" in checkout.installs()[1]


# When something is missing


def test_a_python_that_is_too_old_gets_a_sentence(checkout: Checkout) -> None:
    for name in ("python3", "python3.11"):
        write_python(checkout.path / name, 'sys.version_info = (3, 9, 18, "final", 0)')
    assert checkout.run("setup") == (
        1,
        "",
        "invoke: Python 3.11 or newer is needed; found python3 (3.9), python3.11 (3.9). "
        "Install it (Debian, Ubuntu: apt install python3 python3-venv) "
        "or set PYTHON to its path.\n",
    )


def test_the_named_python_is_the_only_one_tried(checkout: Checkout) -> None:
    code, _, err = checkout.run("setup", env={"PYTHON": "/no/python"})
    assert (code, err.split(". ")[0]) == (
        1,
        "invoke: Python 3.11 or newer is needed; found none at PYTHON=/no/python",
    )


def test_a_newer_python_beside_an_old_python3_is_found(checkout: Checkout) -> None:
    write_python(checkout.path / "python3", 'sys.version_info = (3, 9, 18, "final", 0)')
    (checkout.path / "python3.12").symlink_to(PYTHON)
    assert checkout.run("setup")[::2] == (0, INSTALLING)


def test_a_python_without_its_venv_module_gets_a_sentence(checkout: Checkout) -> None:
    write_program(checkout.path / "uv", "#!/bin/sh\nexit 127\n")
    python = checkout.path / "python3"
    write_python(python, "sys._base_executable = __file__\nsys.modules['ensurepip'] = None")
    version = "{}.{}".format(*sys.version_info)
    assert checkout.run("setup") == (
        1,
        "",
        f"invoke: Python {version} at {python} lacks its venv module. Install it "
        f"(Debian, Ubuntu: apt install python{version}-venv), or install uv; "
        "then run ./invoke again.\n",
    )


# When it goes wrong halfway


def test_a_failed_installation_shows_its_last_lines_and_is_retried(checkout: Checkout) -> None:
    checkout.require("for line in 1 2 3 4 5 6 7 8 9 10 11 12 13; do echo line $line; done; exit 1")
    code, out, err = checkout.run("setup")
    assert (code, out) == (1, "")
    assert err == (
        INSTALLING
        + "invoke: the installation failed; the last lines of "
        + f"{checkout.root}/.venv/install.log:\n"
        + "".join(f"line {number}\n" for number in range(2, 14))
        + "invoke: run ./invoke again to retry.\n"
    )
    assert checkout.run("setup") == (code, out, err)
    checkout.require("# nothing")
    assert checkout.run("setup")[0] == 0


def test_after_a_failed_update_the_old_requirements_are_not_taken_for_whole(
    checkout: Checkout,
) -> None:
    checkout.run("setup")
    in_use = checkout.root / ".venv" / "a server's file"
    in_use.touch()
    checkout.require("exit 1")
    assert checkout.run("setup")[0] == 1
    checkout.require("# nothing")
    assert checkout.run("setup")[::2] == (0, INSTALLING)
    assert "--force-reinstall" in checkout.installs()[2]
    assert in_use.exists()


def test_killed_with_its_installer_it_works_the_next_time(checkout: Checkout) -> None:
    hold(checkout)
    first = checkout.start("setup")
    wait_until(lambda: bool(checkout.calls()))
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    release(checkout)
    assert checkout.run("setup") == (0, f"{checkout.path}\n", INSTALLING)


def test_killed_alone_its_installer_is_waited_for(checkout: Checkout) -> None:
    hold(checkout)
    first = checkout.start("setup")
    wait_until(lambda: bool(checkout.calls()))
    first.kill()
    second = checkout.start("setup")
    assert line_of(second) == WAITING
    release(checkout)
    assert second.communicate()[0] == f"{checkout.path}\n"
    assert [call.split()[0] for call in checkout.calls()] == ["begin", "end"] * 2
    first.communicate()


def test_of_two_at_once_the_second_waits_and_installs_nothing(checkout: Checkout) -> None:
    hold(checkout)
    first = checkout.start("setup")
    wait_until(lambda: bool(checkout.calls()))
    second = checkout.start("setup")
    assert line_of(second) == WAITING
    release(checkout)
    assert first.communicate() == (f"{checkout.path}\n", INSTALLING)
    assert second.communicate() == (f"{checkout.path}\n", "")
    assert len(checkout.installs()) == 1


def test_ctrl_c_while_installing_or_waiting_exits_130_without_a_word(checkout: Checkout) -> None:
    hold(checkout)
    first = checkout.start("setup")
    wait_until(lambda: bool(checkout.calls()))
    second = checkout.start("setup")
    assert line_of(second) == WAITING
    for process, said in ((second, ""), (first, INSTALLING)):
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate() == ("", said)
        assert process.returncode == 130


def test_the_lock_ends_with_the_installation(checkout: Checkout) -> None:
    (checkout.root / "tasks.py").write_text("import os\nos.fstat(9)")
    code, _, err = checkout.run("setup")
    assert (code, err.splitlines()[-1]) == (1, "OSError: [Errno 9] Bad file descriptor")


def test_the_installer_works_in_the_checkout_not_in_the_callers_project(
    checkout: Checkout, tmp_path: Path
) -> None:
    where = tmp_path / "where"
    checkout.require(f'pwd >"{where}"')
    checkout.run("setup")
    assert where.read_text() == f"{checkout.root}\n"


def test_requirements_changed_meanwhile_are_installed_the_next_time(checkout: Checkout) -> None:
    hold(checkout)
    first = checkout.start("setup")
    wait_until(lambda: bool(checkout.calls()))
    checkout.require("# something else")
    release(checkout)
    first.communicate()
    assert checkout.run("setup")[::2] == (0, INSTALLING)


# With the real installers


def write_wheel(folder: Path) -> tuple[Path, str]:
    """A package called invoke, which prints the arguments; its path and its hash."""
    wheel = folder / "invoke-1-py3-none-any.whl"
    info = "invoke-1.dist-info"
    files = {
        "invoke.py": "import sys\ndef main(): print(sys.argv[1:])\n",
        "botocore/session.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: invoke\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\ninvoke = invoke:main\n",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{n},,\n" for n in [*files, f"{info}/RECORD"]))
    return wheel, hashlib.sha256(wheel.read_bytes()).hexdigest()


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_real_installer_takes_only_what_has_the_pinned_hash(
    checkout: Checkout, installer: str
) -> None:
    env = {"PIP_NO_INDEX": "1", "PYTHONDONTWRITEBYTECODE": "1"}  # which containers often set
    if installer == "uv":
        if not shutil.which("uv"):
            pytest.skip("no uv on this machine")
        env |= {**os.environ, "UV_OFFLINE": "1", "UV_CACHE_DIR": str(checkout.path / "cache")}
    (checkout.path / "uv").unlink()
    wheel, digest = write_wheel(checkout.path)
    (checkout.root / "tasks.py").write_text("import invoke\ninvoke.main()")
    checkout.require(f"invoke @ {wheel.as_uri()} --hash=sha256:{'0' * 64}")
    code, _, err = checkout.run("setup", env=env)
    assert code == 1
    assert digest in err
    assert err.endswith("invoke: run ./invoke again to retry.\n")

    checkout.require(f"invoke @ {wheel.as_uri()} --hash=sha256:{digest}")
    installing = INSTALLING if installer == "uv" else INSTALLING.replace("2 s", "6 s")
    assert checkout.run("setup", env=env) == (0, "['setup']\n", installing)
    assert list(checkout.root.glob(".venv/lib/*/site-packages/__pycache__/invoke.*.pyc"))
    assert checkout.run("setup", env=env) == (0, "['setup']\n", "")


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_package_without_a_wheel_is_refused_and_none_of_its_code_runs(
    checkout: Checkout, installer: str
) -> None:
    links = checkout.path / "links"
    links.mkdir()
    env = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(links)}
    if installer == "uv":
        if not shutil.which("uv"):
            pytest.skip("no uv on this machine")
        env = {**os.environ, "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(links)}
    (checkout.path / "uv").unlink()
    ran = checkout.root / "ran"
    source = {"PKG-INFO": "Metadata-Version: 2.1\nName: invoke\nVersion: 1\n",
              "pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'backend'\n"
              "backend-path = ['.']\n",
              "backend.py": f"open({str(ran)!r}, 'w')"}  # fmt: skip
    with tarfile.open(links / "invoke-1.tar.gz", "w:gz") as archive:
        for name, text in source.items():
            member = tarfile.TarInfo(f"invoke-1/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    digest = hashlib.sha256((links / "invoke-1.tar.gz").read_bytes()).hexdigest()
    checkout.require(f"invoke==1 --hash=sha256:{digest}")
    code, _, err = checkout.run("setup", env=env)
    assert code == 1
    assert err.endswith("invoke: run ./invoke again to retry.\n")
    assert not ran.exists()


def test_what_a_first_setup_imports_is_compiled_meanwhile(checkout: Checkout) -> None:
    (checkout.path / "uv").unlink()
    wheel, digest = write_wheel(checkout.path)
    checkout.require(f"invoke @ {wheel.as_uri()} --hash=sha256:{digest}")
    assert checkout.run("setup", env={"PIP_NO_INDEX": "1"})[0] == 0
    wait_until(lambda: bool(list(checkout.root.glob(".venv/lib/*/*/botocore/*/session.*.pyc"))))


def test_the_modules_that_are_compiled_ahead_exist() -> None:
    (modules,) = re.findall(r"set -- (botocore/.+)", LAUNCHER.read_text())
    packages = Path(sysconfig.get_path("purelib"))
    assert all(list(packages.glob(module)) for module in modules.split())


@pytest.mark.parametrize(
    "hostile",
    [
        {"PIP_TARGET": "elsewhere", "PIP_USER": "1", "PIP_PREFIX": "elsewhere"},
        {"PIP_DRY_RUN": "1", "PIP_PYTHON": "/nonexistent", "PIP_REQUIRE_VIRTUALENV": "1"},
        {"PYTHONHOME": "/nonexistent", "PYTHONSAFEPATH": "1", "PYTHONINSPECT": "1"},
        {"PYTHONPATH": "elsewhere"},
    ],
)
def test_the_users_variables_lead_neither_pip_nor_python_elsewhere(
    checkout: Checkout, hostile: dict[str, str]
) -> None:
    (checkout.path / "uv").unlink()
    elsewhere = checkout.path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "invoke.py").write_text("raise SystemExit('the wrong invoke')")
    wheel, digest = write_wheel(checkout.path)
    (checkout.root / "tasks.py").write_text("import invoke\ninvoke.main()")
    checkout.require(f"invoke @ {wheel.as_uri()} --hash=sha256:{digest}")
    values = {name: str(elsewhere) if v == "elsewhere" else v for name, v in hostile.items()}
    code, out, err = checkout.run("setup", env={"PIP_NO_INDEX": "1", **values})
    assert (code, out) == (0, "['setup']\n"), err
    assert [path.name for path in elsewhere.iterdir()] == ["invoke.py"]


def test_a_new_venv_has_no_setuptools(checkout: Checkout) -> None:
    (checkout.path / "uv").unlink()
    wheel, digest = write_wheel(checkout.path)
    checkout.require(f"invoke @ {wheel.as_uri()} --hash=sha256:{digest}")
    checkout.run("setup", env={"PIP_NO_INDEX": "1"})
    packages = next(checkout.root.glob(".venv/lib/*/site-packages"))
    assert not list(packages.glob("*distutils*"))
    assert not list(packages.glob("setuptools*"))


DAMAGES = {
    "cut to nothing": lambda data: b"",
    "cut after its head": lambda data: data[:16],
    "cut in the middle": lambda data: data[: len(data) // 2],
    "cut by a byte": lambda data: data[:-1],
    "of zeros": lambda data: data[:16] + bytes(len(data) - 16),
    "of noise": lambda data: data[:16] + b"#" * (len(data) - 16),
    "a number": lambda data: data[:16] + marshal.dumps(7),
}


@pytest.fixture
def own_packages(new_checkout: Callable[[str], Project]) -> Project:
    """A checkout with the launcher, whose .venv has some packages of its own."""
    project = new_checkout("checkout")
    shutil.copy(LAUNCHER, project.root)
    venv = project.root / ".venv"
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", venv], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    real = Path(sysconfig.get_path("purelib"))
    (packages / "real.pth").write_text(f"{real}\n")
    for name in ("invoke", "dotenv", "ministack"):
        shutil.copytree(real / name, packages / name)
    compileall.compile_dir(packages, quiet=1)
    shutil.copy(real.parents[2] / "bin" / "invoke", venv / "bin" / "invoke")
    shutil.copy(project.root / "requirements.txt", venv / ".installed")
    (venv / ".root").write_text(f"{project.root}\n")
    return project


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_cache_that_a_full_disk_has_cut_is_written_again(
    own_packages: Project, damage: Callable[[bytes], bytes]
) -> None:
    root = own_packages.root
    command = [str(root / "invoke"), "up", "aws"]
    names = ("scripts/*", "scripts/tasks/*", "scripts/stacks/embedded/**", "scripts/settings/*")
    ours = [path for name in names for path in root.glob(f"{name}/__pycache__/*.pyc")]
    theirs = list((root / ".venv").glob("**/__pycache__/*.pyc"))
    assert len(ours) > 20
    assert len(theirs) > 100
    for path in ours + theirs:
        path.write_bytes(damage(path.read_bytes()))
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert re.search(r"^done  aws .*\nup: done in .*\n$", done.stderr)
    subprocess.run([*command[:1], "down"], env=clean_environment(), check=True)
    pycs = [*root.glob("scripts/__pycache__/*.pyc"), *theirs]
    loaded = [path for path in pycs if path.stem.partition(".")[0] in ("state", "collection")]
    for path in loaded:
        assert isinstance(marshal.loads(path.read_bytes()[16:]), CodeType)
    assert len(loaded) > 1
