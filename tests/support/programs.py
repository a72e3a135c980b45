"""Programs that are not ours: skipped with a reason where they are missing, except in continuous integration."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import NoReturn

import pytest


def need(name: str) -> None:
    """Skip the test where the program is missing; with CI=true that is a failure."""
    if shutil.which(name) is None:
        missing(f"the program {name} is not installed")


def missing(reason: str) -> NoReturn:
    """Skip the test for the want of something; with CI=true that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def run(*command: str, given: str = "", check: bool = True) -> str:
    """Run a program to its end; returns what it printed, its complaints too where it may fail."""
    need(command[0])
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=180, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}{done.stdout}")
    return done.stdout if check else done.stdout + done.stderr
