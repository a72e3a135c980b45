"""The image, as far as it can be tried without an engine: its file is linted, and its steps are taken by a user without rights.

What only an engine does (the base image, Debian's packages, layers) is not tried here.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from accredit import __version__
from support.programs import missing
from support.running_service import clean_environment, loopback_address

ROOT = Path(__file__).parents[2]
NOBODY = 65_534


def _instructions(stage: int) -> Iterator[tuple[str, str]]:
    """(name, argument) of each instruction of one stage of the Containerfile, comments and continuations resolved."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Containerfile").read_text(), flags=re.MULTILINE)
    at = -1
    for line in text.replace("\\\n", " ").splitlines():
        name, _, argument = line.strip().partition(" ")
        at += name == "FROM"
        if at == stage and name:
            yield name, argument.strip()


def _of(stage: int, name: str) -> list[str]:
    return [argument for each, argument in _instructions(stage) if each == name]


def _copied() -> list[str]:
    return [source for argument in _of(0, "COPY") for source in argument.split()[:-1]]


def test_the_linter_finds_nothing() -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if program is None:
        missing("hadolint has no wheel for this machine")
    linted = subprocess.run(
        [program, str(ROOT / "Containerfile")], capture_output=True, text=True, check=False
    )
    assert (linted.returncode, linted.stdout) == (0, "")


def test_the_builder_is_sent_what_is_copied_and_no_more() -> None:
    sent = [
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line[:1] == "!"
    ]
    assert sorted(sent) == sorted(_copied())


def test_the_image_runs_without_rights_and_has_no_compiler() -> None:
    assert _of(1, "USER") == ["10001:10001"]
    assert not re.search(r"apt-get|gcc|\bpip\b", " ".join(_of(1, "RUN")))
    assert _of(1, "COPY") == ["--from=build /opt/accredit /opt/accredit"]
    assert [int(port) for port in _of(1, "EXPOSE")[0].split()] == [8443, 8883, 5671, 8080]
    assert _of(1, "VOLUME") == ["/data"]
    bases = {argument.split(" AS ")[0] for stage in (0, 1) for argument in _of(stage, "FROM")}
    assert len(bases) == 1


@pytest.fixture
def folder() -> Iterator[Path]:
    """Of whoever runs the steps; not among pytest's, which nobody else may enter."""
    with tempfile.TemporaryDirectory(prefix="accredit-image-") as made:
        os.chmod(made, 0o755)
        yield Path(made)


def _installed(folder: Path) -> Path:
    """What the build stage installs, from what it copies, by its own script; as nobody, where we are root."""
    source = folder / "src"
    for name in _copied():
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    (run,) = [each for each in _of(0, "RUN") if each.startswith("deploy/install")]
    script, wanted, *_ = run.split()
    # Without the extras, which only add to it: AMQP's takes a compiler and its time.
    command = [str(source / script), str(folder / wanted.lstrip("/"))]
    (folder / "opt").mkdir()
    environment = clean_environment() | {"HOME": str(folder), "PYTHON": _python()}
    _give(folder)
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=600, **_unprivileged()
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / wanted.lstrip("/")


def _python() -> str:
    """An interpreter that whoever runs the steps may run: ours, or the system's."""
    candidates = (os.path.realpath(sys.executable), "/usr/bin/python3", "/usr/local/bin/python3")
    found = next(filter(_can_be_run, candidates), None)
    return found or missing("there is no Python 3.11 or newer that a user without rights may run")


def _can_be_run(python: str) -> bool:
    fits = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"
    try:
        asked = subprocess.run([python, "-c", fits], capture_output=True, check=False, **_unprivileged())
    except OSError:
        return False
    return asked.returncode == 0


def _unprivileged() -> dict:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}


def _give(folder: Path) -> None:
    """Let who runs the steps have the folder."""
    if os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


@pytest.mark.campaign
@pytest.mark.timeout(700)
def test_what_the_image_has_serves_by_itself_and_is_found_healthy(folder: Path) -> None:
    prefix = _installed(folder)
    assert not (prefix / "bin" / "pip").exists()
    told = subprocess.run(
        [prefix / "bin" / "accredit", "--version"], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == __version__

    host = loopback_address()
    settings = dict(word.split("=", 1) for line in _of(1, "ENV") for word in shlex.split(line))
    data = folder / "data"
    data.mkdir()
    _give(data)
    environment = {
        **{name: value for name, value in settings.items() if name != "PATH"},
        "PATH": f"{prefix / 'bin'}:{os.environ['PATH']}",
        "HOME": str(data),
        "ACCREDIT_DATA_DIR": str(data),
        "ACCREDIT_BIND": host,
        "ACCREDIT_HOST": host,
    }
    (entry,), (command,) = (json.loads(_of(1, name)[0]) for name in ("ENTRYPOINT", "CMD"))
    service = subprocess.Popen(
        [str(prefix / "bin" / entry), command],
        cwd="/",
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        **_unprivileged(),
    )
    try:
        assert service.stdout is not None
        assert "https 8443, mqtt 8883" in service.stdout.readline()
        assert _is_healthy(environment, host)
        service.send_signal(signal.SIGTERM)
        assert service.wait(60) == 0
        assert not _is_healthy(environment, host)
    finally:
        service.kill()
        service.stdout.close()


def _is_healthy(environment: dict[str, str], host: str) -> bool:
    (check,) = _of(1, "HEALTHCHECK")
    command = json.loads(check[check.index("CMD") + 3 :].replace("127.0.0.1", host))
    deadline = time.monotonic() + 30
    while True:
        asked = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
        if asked.returncode == 0 or b"refused" in asked.stderr or time.monotonic() > deadline:
            return asked.returncode == 0
        time.sleep(0.2)
