"""A plugin of pytest (`-p reached`): which functions of the package each test calls, and how long the test takes.

Written as JSON to the file that the variable REACHED names; `tests/mutants.py` chooses by it which tests a change concerns.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import samplevae

PACKAGE = str(Path(samplevae.__file__).parent)
calls: set[tuple[str, int]] = set()  # of the present test: file and first line of each function
shared: dict[str, set[tuple[str, int]]] = {}  # of fixtures that several tests share, by the file of these tests
tests: dict[str, dict[str, Any]] = {}


def note_call(frame: FrameType, event: str, argument: Any) -> None:
    "Called by Python at the start of every function."
    if frame.f_code.co_filename.startswith(PACKAGE):
        calls.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))


def as_text(found: set[tuple[str, int]]) -> list[str]:
    return sorted(f"{Path(file).stem}:{line}" for file, line in found)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    calls.clear()
    begun = time.time()
    sys.settrace(note_call), threading.settrace(note_call)
    result = yield
    sys.settrace(None), threading.settrace(None)
    tests[item.nodeid] = {"seconds": time.time() - begun, "calls": as_text(calls)}
    return result


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Generator[None, Any, Any]:
    if fixturedef.scope == "function":
        return (yield)
    before = calls.copy()
    calls.clear()
    result = yield
    shared.setdefault(request.node.nodeid, set()).update(calls)
    calls.update(before)
    return result


def pytest_sessionfinish() -> None:
    found = {"tests": tests, "shared": {file: as_text(those) for file, those in shared.items()}}
    Path(os.environ["REACHED"]).write_text(json.dumps(found))
