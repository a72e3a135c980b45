"""The master key is changed under a running service, while devices come in, and the old key is of no more use."""

from __future__ import annotations

import threading
from itertools import count
from pathlib import Path

from support.command import command
from support.device_key import DeviceKey, derived_key
from support.enrolling import issuing, symmetric_group
from support.raw_device import DpsDevice
from support.running_service import RunningService, accredit


def test_the_master_key_is_rotated(tmp_path: Path) -> None:
    old, new = tmp_path / "old.key", tmp_path / "new.key"
    for file in (old, new):
        assert "holds the new master key" in command("key", "new", str(file)).out
    service = RunningService(tmp_path / "service")

    def keys(*files: Path) -> None:
        service.environment["ACCREDIT_MASTER_KEY_FILE"] = ",".join(map(str, files))

    def key(*arguments: str, files: tuple[Path, ...] = (new, old)) -> tuple[str, ...]:
        names = ",".join(map(str, files))
        return ("key", *arguments, "--data-dir", str(service.data), "--master-key-file", names)

    def register(name: str) -> None:
        device_key = DeviceKey(name, tmp_path / name)
        with DpsDevice(service, name, key=derived_key(master, name)) as device:
            answer = device.registers(clientCertificateCsr=device_key.csr())
        assert answer.document["status"] == "assigned", answer

    keys(old)
    with service:
        master = symmetric_group(service, "fleet", **issuing())
        register("before")
        assert "Only one master key is loaded" in command(*key("rotate", files=(old,))).sentence
        assert "restart it with" in command(*key("rotate")).sentence
    keys(new, old)
    with service:
        finished = threading.Event()
        told: list[str] = []

        def rotates() -> None:
            told.append(accredit(*key("rotate")).stdout)
            finished.set()

        thread = threading.Thread(target=rotates)
        thread.start()
        for number in count():
            register(f"meanwhile-{number}")
            if finished.is_set():
                break
        thread.join()
        assert "sealed values are under the master key" in told[0], told
        register("after")
    rows = command(*key("status", "--json")).rows
    assert [(row["seals"], row["loaded"], row["values"] > 0) for row in rows] == [
        (True, True, True),
        (False, True, False),
    ]
    keys(new)
    with service:
        register("before")
        register("later")
