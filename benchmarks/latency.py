"""How soon one gets the sound of what one does: `python benchmarks/latency.py RUN [--lab] [--one-core]` prints figures and keeps them.

From the event of the pointer to the start of the sound, by a real browser: sliders of the page (pitch, macros), keys, 300
fast moves, the size of the page and the time to its first sound; with `--lab` the widget and plain ipywidgets in JupyterLab.
It needs Chromium (CHROMIUM, else in the path). Results: benchmarks/results/latency.json, one entry a size of the model.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from samplevae.config import open_run
from samplevae.files import CLONE, read_json, write_json
from samplevae.instrument import load_to_play, write_page
from samplevae.runs import hardware

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]


def quantiles(values):
    "Median and 95th percentile, in ms."
    return {
        "median": round(float(np.median(values)), 1),
        "95th percentile": round(float(np.quantile(values, 0.95)), 1),
        "number": len(values),
    }


def drag(page, name, moves=60, pause=30):
    "Move a slider up and down by hand -> from each event to its sound, ms."
    page.evaluate("instrument.session.stats.ready.length = 0")
    box = page.locator(f".fader[data-name={name}] .cap").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for i in range(moves):
        page.mouse.move(x, y - 20 * np.sin(i / 8))
        page.wait_for_timeout(pause) if pause else None
    times = page.evaluate("[...instrument.session.stats.ready]")
    page.mouse.up()
    page.wait_for_timeout(800)
    return times


def open_page(browser, file):
    "A page and the time to its first sound, ms."
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(file.resolve().as_uri())
    while not page.evaluate("!!(window.instrument && instrument.session.stats.opened)"):
        page.wait_for_timeout(10)
    page.evaluate("instrument.opened.then(() => 0)")
    page.wait_for_timeout(1500)
    return page, page.evaluate("instrument.session.stats.opened")


def measure_page(browser, file):
    "All figures of a page that opens from the disk."
    opened = []
    for _ in range(5):
        page, first = open_page(browser, file)
        opened.append(first)
        page.close()
    page, first = open_page(browser, file)
    figures = {
        "page, MB": round(file.stat().st_size / 1e6, 2),
        "first sound, ms": round(float(np.median([*opened, first]))),
        "seconds of sound": page.evaluate("instrument.backend.about.config.seconds"),
    }
    page.mouse.click(5, 5)
    page.locator(".labels button").first.click()
    page.wait_for_timeout(1500)
    for name in "pitch", "decay", "brightness", "loudness":
        if page.locator(f".fader[data-name={name}]").count():
            figures[f"slider {name}, ms"] = quantiles(drag(page, name))
    asked = page.evaluate("instrument.session.asked")
    drag(page, "pitch", 300, 0)
    counts = page.evaluate(
        "(({ asked, stats }) => ({ asked, decoded: stats.decode.length, dropped: stats.dropped }))(instrument.session)"
    )
    figures["300 fast moves"] = {
        "asked": counts["asked"] - asked,
        "left unanswered": counts["asked"] - counts["decoded"] - counts["dropped"],
    }
    for n in range(40):
        page.evaluate(f"instrument.ui.note({40 + n % 24}, {0.5 + 0.4 * (n % 2)})")
        page.wait_for_timeout(60)
    figures["key to sound, ms"] = quantiles(page.evaluate("instrument.session.stats.notes"))
    figures["decoding in the worker, ms"] = quantiles(page.evaluate("instrument.session.stats.decode.slice(-200)"))
    figures["output latency that the browser adds, ms"] = round(
        1000 * page.evaluate("instrument.session.voice.latency"), 1
    )
    page.close()
    return figures


def measure_lab(browser, run):
    "The widget and plain sliders in JupyterLab, from a change of a slider to the sound."
    figures, load = (
        {},
        f"from samplevae.config import open_run\nfrom samplevae.instrument import load_to_play\nparts = load_to_play(open_run({str(run)!r}))\n",
    )
    plain = next(
        "".join(cell["source"])
        for cell in json.loads((CLONE / "nbs/51_instrument.ipynb").read_text())["cells"]
        if "def plain_sliders" in "".join(cell["source"])
    )
    cells = {
        "widget": load + "from samplevae.playing import Instrument\nInstrument(*parts)",
        "plain": load
        + "import time, torch, ipywidgets\nfrom samplevae.instrument import wav_bytes\n"
        + plain
        + "\nplain_sliders(parts[0], torch.zeros(parts[0].shape))",
    }
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        for name, source in cells.items():
            cell = {
                "cell_type": "code",
                "metadata": {},
                "execution_count": None,
                "outputs": [],
                "source": source,
                "id": "a",
            }
            kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
            Path(folder, f"{name}.ipynb").write_text(
                json.dumps({"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5})
            )
        options = [
            "--no-browser",
            "--allow-root",
            f"--port={port}",
            "--IdentityProvider.token=",
            f"--ServerApp.root_dir={folder}",
        ]
        lab = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            time.sleep(8)
            for name in cells:
                page = browser.new_page(viewport={"width": 1500, "height": 1000})
                page.goto(f"http://127.0.0.1:{port}/lab/tree/{name}.ipynb?reset")
                page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
                page.wait_for_timeout(3000)
                page.locator(".jp-Notebook .jp-Cell .cm-content").first.click()
                page.keyboard.press("Shift+Enter")
                figures[f"JupyterLab, {name}, ms"] = quantiles(times_in_lab(page, name))
                page.close()
        finally:
            lab.terminate()
            lab.wait()
    return figures


def times_in_lab(page, name):
    "A slider in JupyterLab, moved by keys -> from each key to its sound, ms."
    if name == "widget":
        find = "() => { for (const e of document.querySelectorAll('.jp-OutputArea *')) if (e.instrument) window.instrument = e.instrument; return !!window.instrument?.session.stats.opened; }"
        while not page.evaluate(find):
            page.wait_for_timeout(50)
        page.wait_for_timeout(3000)
        page.locator(".fader[data-name=pitch] .rail").scroll_into_view_if_needed()
        return drag(page, "pitch")
    page.wait_for_selector(".jp-OutputArea audio", timeout=180_000)
    page.wait_for_timeout(3000)
    return page.evaluate(
        """async () => { const times = [], slider = document.querySelectorAll(".jp-OutputArea .noUi-handle")[3], audio = () => document.querySelector(".jp-OutputArea audio");
        slider.focus();
        for (let n = 0; n < 40; n++) {
            const was = audio().src, began = performance.now();
            const heard = new Promise((done) => { const look = () => audio().src !== was && audio().readyState >= 3 ? done(performance.now() - began) : performance.now() - began > 3000 ? done(3000) : setTimeout(look, 1); look(); });
            slider.dispatchEvent(new KeyboardEvent("keydown", { key: n < 20 ? "ArrowRight" : "ArrowLeft", bubbles: true }));
            times.push(await heard);
            await new Promise((done) => setTimeout(done, 150));
        }
        return times; }"""
    )


def main():
    "Measure, print, keep."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--lab", action="store_true", help="JupyterLab, too: a minute more")
    parser.add_argument("--one-core", action="store_true", help="the browser has one core alone")
    given = parser.parse_args()
    run = open_run(given.run)
    if given.one_core:  # before the browser's driver begins, which hands it on
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = write_page(folder, *load_to_play(run))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        figures = measure_page(browser, file) | (measure_lab(browser, given.run.resolve()) if given.lab else {})
        figures["browser"] = browser.version
        browser.close()
    name = run.config.size + (", one core" if given.one_core else "")
    path = CLONE / "benchmarks/results/latency.json"
    machine = hardware() | {"load before": round(os.getloadavg()[0], 1)}
    write_json(path, read_json(path, {}) | {"date": time.strftime("%Y-%m-%d"), name: figures | {"hardware": machine}})
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
