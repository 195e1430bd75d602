"What the tests share: where the clone is, and one small run that most of them look at."

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from samplevae.files import exclusive_lock

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two tests run at a time: a core for each
CLONE = Path(__file__).resolve().parent.parent
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(
    not CHROMIUM and "CI" not in os.environ, reason="no Chromium: its tests were left out"
)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and tests send it


def samplevae(*arguments, **options):
    "Run the command line in a process of its own."
    command = [sys.executable, "-m", "samplevae.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, **options)


@pytest.fixture
def command(capsys):
    "Run the command line in this process, which takes less time."

    def run(*arguments):
        from samplevae.cli import main

        capsys.readouterr()
        code = main([*map(str, arguments)])
        said = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=said.out, stderr=said.err)

    return run


def pytest_collection_modifyitems(items):
    "The longest first, so that no core has to wait at the end."
    items.sort(key=lambda item: "long" not in item.keywords)


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory):
    "A finished run of the smallest preset. Look, but change nothing."
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared  # one for all workers
    with exclusive_lock(shared / "smoke.lock", wait=True):  # the first makes it, the others find it finished
        done = samplevae("run", "--preset", "smoke", "--out", shared / "smoke")
        assert done.returncode == 0, done.stderr
    return shared / "smoke"


@pytest.fixture(scope="module")
def browser():
    "A real browser that may play without being asked to."
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture
def environment():
    "The environment for a process that should not touch a terminal."
    return os.environ | {"PYTHONUNBUFFERED": "1"}
