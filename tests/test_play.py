"The instrument in a real browser: as a page from the disk, beside a server, and in JupyterLab."

import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from conftest import CLONE, needs_browser

from samplevae.config import open_run
from samplevae.dataset import prepare_store
from samplevae.instrument import load_to_play, write_page
from samplevae.mixtures import NormalPrior
from samplevae.playing import PlayedModel, make_server
from samplevae.vae import SampleVAE

pytestmark = needs_browser
S = "instrument.session"


@pytest.fixture(scope="module")
def page_file(smoke_run, tmp_path_factory):
    run = open_run(smoke_run)
    return write_page(tmp_path_factory.mktemp("played"), *load_to_play(run))


def wait_until(page, expression, seconds=60):
    "Ask again and again: the page's policy refuses `wait_for_function`."
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(20)


def open_page(browser, address, width=1280, height=900):
    "A page whose first sound is ready, and what it complained of and asked for."
    page = browser.new_page(viewport={"width": width, "height": height}, accept_downloads=True)
    page.complaints, page.asked = [], []
    page.on("console", lambda message: page.complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(address)
    wait_until(page, f"!!window.instrument && {S}.stats.opened > 0")
    page.evaluate("instrument.opened.then(() => 0)")
    return page


@pytest.fixture
def page(browser, page_file):
    page = open_page(browser, page_file.as_uri())
    yield page
    assert page.complaints == []
    assert [url for url in page.asked if not url.startswith(("file:", "blob:", "data:"))] == [], "no network"
    page.close()


def settle(page):
    "Wait until no sound is on its way."
    page.evaluate(f"(async () => {{ await {S}.studied(); await new Promise((done) => setTimeout(done, 120)); }})()")


def vector(page):
    return np.array(page.evaluate(f"[...{S}.now.z]"))


def wave(page):
    return np.array(page.evaluate(f"[...{S}.now.wave]"))


def do(page, act):
    "Press a button."
    page.evaluate(f"instrument.ui.button('{act}').click()")
    settle(page)


def test_nothing_sounds_before_a_gesture_and_then_it_does(page):
    assert page.evaluate(f"{S}.voice.context === undefined") and np.abs(wave(page)).max() > 1e-3
    page.keyboard.press("Space")
    page.wait_for_timeout(100)
    assert page.evaluate(f"{S}.voice.starts.length") == 1 and page.evaluate(f"{S}.voice.context.state") == "running"


def test_every_slider_moves_the_sound(page):
    moved = 0
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    for number in range(page.locator("[role=slider]").count()):
        slider = page.locator("[role=slider]").nth(number)
        label = slider.get_attribute("aria-label")
        if label.startswith(("Variation", "Temperature", "From A", "Through")):
            continue
        settle(page)
        before = wave(page)
        up = float(slider.get_attribute("aria-valuenow")) < 50
        slider.focus()
        for _ in range(3):
            page.keyboard.press("PageUp" if up else "PageDown")
        page.wait_for_timeout(500)
        settle(page)
        moved += np.abs(wave(page) - before).max() > 1e-5
        assert slider.get_attribute("aria-valuetext"), label
    assert moved >= 20, "macros, labels, directions and numbers"


def test_a_drag_is_heard_and_nothing_is_left_in_the_queue(page):
    rail = page.locator(".fader[data-name=pitch] .rail")
    box = rail.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    for i in range(100):
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * (0.5 + 0.4 * np.sin(i / 9)))
    page.mouse.up()
    wait_until(page, f"{S}.now.sound.z.every((x, k) => x === {S}.now.z[k])")
    target = 8 + 2 * page.evaluate(f"{S}.now.sound.z[0]")
    shown = float(
        page.locator(".fader[data-name=pitch] .cap").evaluate(
            "cap => getComputedStyle(cap.parentElement).getPropertyValue('--p')"
        )
    )
    low, high = page.evaluate("[instrument.ui.faders.pitch.low, instrument.ui.faders.pitch.high]")
    assert target == pytest.approx(low + shown * (high - low), abs=0.02), "where the hand let go"
    stats = page.evaluate(f"({{ asked: {S}.asked, decoded: {S}.stats.decode.length, dropped: {S}.stats.dropped }})")
    assert stats["decoded"] + stats["dropped"] >= stats["asked"] - 1, "all were heard or rightly left out"
    assert stats["asked"] > 50


def test_chance_locks_history_and_seeds(page):
    first = vector(page)
    do(page, "dice")
    thrown, seed = vector(page), page.input_value("[data-el=seed]")
    assert np.abs(thrown - first).max() > 1e-3 and seed
    do(page, "undo")
    assert np.allclose(vector(page), first)
    do(page, "redo")
    assert np.allclose(vector(page), thrown)
    do(page, "undo")
    page.fill("[data-el=seed]", seed)
    page.keyboard.press("Enter")
    page.wait_for_timeout(200)
    settle(page)
    assert np.allclose(vector(page), thrown, atol=1e-5), "the same seed from the same sound"
    page.locator(".fader[data-name=pitch] .name").click()
    do(page, "dice")
    assert vector(page)[0] == pytest.approx(thrown[0]) and np.abs(vector(page) - thrown).max() > 1e-3
    steps = {}
    for variation in 0.02, 1.0:
        page.evaluate(f"instrument.ui.variation = {variation}")
        for seed in range(5):
            near = vector(page)
            page.fill("[data-el=seed]", str(seed))
            page.keyboard.press("Enter")
            page.wait_for_timeout(200)
            settle(page)
            steps.setdefault(variation, []).append(np.abs(vector(page) - near).max())
    assert 0 < 10 * np.median(steps[0.02]) < np.median(steps[1.0]), "from the same to anything"


def test_a_locked_descriptor_stays_where_it_was_locked(page):
    page.locator(".fader[data-name=decay] .name").click()
    locked = page.evaluate(f"{S}.locked.get('decay')")
    for seed in range(3):
        page.fill("[data-el=seed]", str(seed))
        page.keyboard.press("Enter")
        page.wait_for_timeout(400)
        settle(page)
        assert page.evaluate(f"{S}.held.wanted.decay") == locked, "where it was locked, not where it has drifted to"


def test_a_macro_pulled_fast_ends_nearer_to_where_it_was_pulled(page):
    page.evaluate("instrument.opened")
    settle(page)
    box, low = (
        page.locator(".fader[data-name=brightness] .cap").bounding_box(),
        page.evaluate("instrument.ui.faders.brightness.low"),
    )
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = page.evaluate(f"{S}.descriptors.brightness")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 25, steps=4)
    target = page.evaluate(f"{S}.hand.wanted.brightness")
    page.mouse.up()
    page.wait_for_timeout(1500)
    settle(page)
    after = page.evaluate(f"{S}.descriptors.brightness")
    assert low <= target and abs(after - target) < abs(before - target)


def test_undo_brings_back_what_was_removed_from_the_tray(page):
    do(page, "keep")
    z = vector(page)
    page.locator("[data-el=pads] .gone").first.click()
    assert page.evaluate("instrument.ui.kept.length") == 0
    do(page, "undo")
    assert page.evaluate("instrument.ui.kept.length") == 1 and np.allclose(vector(page), z)


def test_labels_map_pad_morph_and_snapshots(page):
    for number in range(page.locator("[data-el=labels] button").count()):
        before = vector(page)
        page.locator("[data-el=labels] button").nth(number).click()
        settle(page)
    assert np.abs(vector(page) - before).max() > 0
    do(page, "setA")
    a = vector(page)
    page.locator("[data-el=snapshots] button").nth(0).click()
    page.locator("[data-el=map]").click(position={"x": 60, "y": 60})
    settle(page)
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(500)
    settle(page)
    do(page, "setB")
    b = vector(page)
    page.locator("[data-el=snapshots] button").nth(1).click()
    assert np.abs(a - b).max() > 1e-3
    for name in "morph", "through":
        slider = page.locator(f"[data-el={name}] [role=slider]")
        slider.focus()
        for key, wanted in ("Home", a), ("End", b):
            page.keyboard.press(key)
            page.wait_for_timeout(500)
            assert np.allclose(vector(page), wanted, atol=1e-5), (name, key)
        page.keyboard.press("PageDown")
        page.wait_for_timeout(500)
        assert np.abs(vector(page) - b).max() > 1e-4 and np.abs(vector(page) - a).max() > 1e-4
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    before = wave(page)
    page.locator("[data-el=pad]").click(position={"x": 150, "y": 40})
    page.wait_for_timeout(800)
    settle(page)
    assert np.abs(wave(page) - before).max() > 1e-5


def test_what_is_saved_can_be_loaded(page, browser, page_file, tmp_path):
    do(page, "keep")
    do(page, "dice")
    do(page, "keep")
    with page.expect_download() as download:
        page.keyboard.press("s")
    download.value.save_as(tmp_path / "one.wav")
    sound, rate = soundfile.read(tmp_path / "one.wav")
    assert rate == page.evaluate(f"{S}.rate") and np.abs(sound - wave(page)).max() < 1e-6
    content = (tmp_path / "one.wav").read_bytes()
    at = content.index(b"smpl")
    note = (
        int.from_bytes(content[at + 20 : at + 24], "little")
        + int.from_bytes(content[at + 24 : at + 28], "little") / 2**32
    )
    octaves = 8 + 2 * vector(page)[0]
    assert note == pytest.approx(np.clip(69 + 12 * (octaves - np.log2(440)), 0, 127.999), abs=0.02)
    with page.expect_download() as download:
        page.evaluate("instrument.ui.button('pack').click()")
    download.value.save_as(tmp_path / "pack.zip")
    with zipfile.ZipFile(tmp_path / "pack.zip") as archive:
        assert archive.testzip() is None
        pack = json.loads(archive.read("pack.json"))
        assert "learned from" in archive.read("about.txt").decode()
        for entry in pack["sounds"]:
            assert soundfile.read(io.BytesIO(archive.read(entry["file"])))[1] == rate
            assert entry["nearest"]["distance"] >= 0
    other = open_page(browser, page_file.as_uri())
    other.set_input_files("[data-el=packfile]", tmp_path / "pack.zip")
    wait_until(other, "instrument.ui.kept.length === 2")
    kept = other.evaluate("instrument.ui.kept.map((kept) => [...kept.z])")
    assert np.allclose(kept, [entry["vector"] for entry in pack["sounds"]])
    other.set_input_files("[data-el=packfile]", tmp_path / "pack.zip")
    wait_until(other, "document.querySelector('[data-el=message]').textContent.includes('already')")
    assert other.evaluate("instrument.ui.kept.length") == 2, "opened twice, it is there once"
    foreign = json.dumps(pack | {"model": "another"})
    with zipfile.ZipFile(tmp_path / "foreign.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pack.json", foreign)
    other.set_input_files("[data-el=packfile]", tmp_path / "foreign.zip")
    wait_until(other, "document.querySelector('[data-el=message]').textContent.includes('another model')")
    assert other.evaluate("instrument.ui.kept.length") == 2, "nothing is lost"
    other.close()


def test_the_tray_survives_a_reload(page):
    do(page, "keep")
    z = vector(page)
    page.reload()
    wait_until(page, "!!window.instrument && instrument.ui.kept.length === 1")
    assert np.allclose(page.evaluate("[...instrument.ui.kept[0].z]"), z)


def test_a_dropped_sound_is_where_it_begins_and_nonsense_is_a_line(page, tmp_path):
    rate, message = page.evaluate(f"{S}.rate"), "document.querySelector('[data-el=message]').textContent"
    t = np.arange(rate) / rate
    sounds = {
        "good.wav": 0.5 * np.sin(2 * np.pi * 200 * t) * np.exp(-20 * t),
        "silent.wav": 0 * t,
        "click.wav": np.r_[0.0, 1.0, np.zeros(200)],
    }
    for name, sound in sounds.items():
        soundfile.write(tmp_path / name, sound, rate)
    soundfile.write(tmp_path / "stereo.wav", np.stack([sounds["good.wav"]] * 2, 1), 96_000)
    soundfile.write(tmp_path / "song.mp3", sounds["good.wav"], rate)
    (tmp_path / "text.wav").write_text("this is no sound")
    (tmp_path / "cut.wav").write_bytes((tmp_path / "good.wav").read_bytes()[:30])
    for name in "good.wav", "click.wav", "stereo.wav", "song.mp3":
        before = vector(page)
        page.set_input_files("[data-el=file]", tmp_path / name)
        wait_until(page, f"{message}.startsWith('{name}')")
        assert "cannot" not in page.evaluate(message), name
        settle(page)
        assert np.abs(vector(page) - before).max() > 0
    page.keyboard.press("o")
    assert page.evaluate(f"{S}.ghost.length") == page.evaluate("instrument.backend.length")
    for name in "silent.wav", "text.wav", "cut.wav":
        before = vector(page)
        page.set_input_files("[data-el=file]", tmp_path / name)
        wait_until(page, f"{message}.startsWith('{name} cannot be used')")
        assert (vector(page) == before).all()


def test_midi_plays_and_learns(browser, page_file):
    page = browser.new_page()
    page.add_init_script("""window.device = { name: "a keyboard" };
        navigator.requestMIDIAccess = async () => ({ inputs: new Map([["one", window.device]]) });""")
    page.goto(page_file.as_uri())
    wait_until(page, f"!!window.instrument && {S}.stats.opened > 0")
    send = "window.device.onmidimessage({ data: [%d, %d, %d] })"
    page.evaluate("instrument.ui.acts.midi()")
    page.wait_for_timeout(50)
    page.evaluate(send % (0x90, 60, 100))
    wait_until(page, f"{S}.voice.starts.length === 1")
    page.evaluate("instrument.ui.acts.learn()")
    page.wait_for_timeout(50)
    page.locator(".fader[data-name=pitch] .rail").focus()
    page.evaluate(send % (0xB0, 7, 10))
    page.evaluate("instrument.ui.acts.learn()")
    page.wait_for_timeout(50)
    page.evaluate(send % (0xB0, 7, 127))
    page.wait_for_timeout(600)
    high = page.evaluate("instrument.ui.faders.pitch.high")
    assert 8 + 2 * page.evaluate(f"{S}.now.z[0]") == pytest.approx(high, abs=1e-3)
    page.close()


def test_keys_leave_text_fields_alone_and_typed_notes_play(page):
    page.locator("[data-el=seed]").focus()
    page.keyboard.press("k")
    assert page.evaluate("instrument.ui.kept.length") == 0
    page.locator("[data-el=map]").focus()
    page.keyboard.press("k")
    wait_until(page, "instrument.ui.kept.length === 1")
    page.keyboard.press("p")
    starts = page.evaluate(f"{S}.voice.starts.length")
    for key in "zxq2":
        page.keyboard.press(key)
    wait_until(page, f"{S}.voice.starts.length === {starts + 4}")
    page.keyboard.press("Escape")
    page.evaluate("instrument.ui.acts.beat()")
    page.wait_for_timeout(700)
    page.evaluate("instrument.ui.acts.beat()")
    assert page.evaluate(f"{S}.voice.starts.length") >= starts + 5, "the pattern sounds"
    for act in "loop", "loop", "theme", "help", "noise", "octup", "octdown":
        page.evaluate(f"instrument.ui.acts['{act}']()")
    page.keyboard.press("Escape")


@pytest.mark.parametrize("width", [1280, 800, 400])
def test_nothing_is_wider_than_the_page(browser, page_file, width):
    page = open_page(browser, page_file.as_uri(), width)
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    unnamed = "[...document.querySelectorAll('button, [role=slider], input, select')].filter((e) => !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).length"
    assert page.evaluate(unnamed) == 0, "every control has a name for a screen reader"
    page.close()


def test_a_browser_without_webassembly_still_plays(browser, page_file):
    page = browser.new_page()
    script = page_file.read_text().replace("WebAssembly.Module(", "NoWebAssembly.Module(")
    without = page_file.with_name("without.html")
    without.write_text(script)
    page.goto(without.as_uri())
    wait_until(page, f"!!window.instrument && {S}.stats.opened > 0")
    assert page.evaluate("instrument.backend.kind") == "plain"
    page.close()


def test_a_browser_without_audio_says_so(browser, page_file):
    page = browser.new_page()
    page.add_init_script("delete window.AudioContext")
    page.goto(page_file.as_uri())
    wait_until(page, "document.querySelector('[data-el=run]').textContent.includes('cannot open the instrument')")
    assert "it plays no sound" in page.text_content("[data-el=run]")
    page.close()


def test_audio_that_fails_later_is_a_line_and_the_sound_stays(browser, page_file):
    page = open_page(browser, page_file.as_uri())
    before = vector(page)
    page.evaluate("void (AudioContext.prototype.createBufferSource = () => { throw new Error('the device is gone') })")
    page.keyboard.press("Space")
    wait_until(page, "document.body.innerText.includes('the device is gone')")
    do(page, "dice")
    assert not np.allclose(vector(page), before) and np.abs(wave(page)).max() > 1e-3
    do(page, "undo")
    assert np.allclose(vector(page), before, atol=1e-6)
    page.close()


def test_a_server_plays_what_the_page_cannot_decode(browser, smoke_run):
    run = open_run(smoke_run)
    store = prepare_store(run)
    torch.manual_seed(0)
    settings = dict(size="tiny", sample_rate=store.rate, seconds=run.config.seconds, hop_length=256)
    model = SampleVAE(latent=4, head="rave", frontend="bands", latent_shape="sequence", **settings)
    played = PlayedModel(model, NormalPrior(int(np.prod(model.shape))), store, "a sequence")
    assert not played.in_page
    server, address = make_server(played, "a sequence")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        page = open_page(browser, address)
        before = wave(page)
        page.evaluate("instrument.ui.acts.dice()")
        page.wait_for_timeout(500)
        assert np.abs(wave(page) - before).max() > 0 and page.evaluate("location.hash") == ""
        assert page.complaints == []
        place = address.partition("#")[0]
        for path, headers in ("ask", {}), ("ask", {"X-Key": "wrong"}), ("pack", {"X-Key": "é"}):
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(urllib.request.Request(place + path, b"{}", headers))
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(urllib.request.Request(place, headers={"Host": "evil.example"}))
        page.close()
    finally:
        server.shutdown()


@pytest.mark.long
def test_the_chapters_play_in_jupyterlab(browser, tmp_path):
    for chapter in "51_instrument", "52_playing":
        notebook = json.loads((CLONE / f"nbs/{chapter}.ipynb").read_text())
        for cell in notebook["cells"]:
            cell["outputs"] = [] if cell["cell_type"] == "code" else cell.pop("outputs", None)
            if cell["cell_type"] != "code":
                cell.pop("outputs")
        (tmp_path / f"{chapter}.ipynb").write_text(json.dumps(notebook))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        "--IdentityProvider.token=",
        f"--ServerApp.root_dir={tmp_path}",
    ]
    settings = tmp_path / "settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"windowingMode": "none"}')  # else cells that are out of sight are taken out of the page
    environment = os.environ | {"JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings")}
    command = [sys.executable, "-m", "jupyterlab", *options]
    lab = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status")
                break
            except OSError:
                time.sleep(0.2)
        page = run_in_lab(browser, port, "52_playing")
        find = "() => { for (const e of document.querySelectorAll('.jp-OutputArea *')) if (e.instrument) window.instrument = e.instrument; return !!window.instrument?.session.stats.opened; }"
        wait_until(page, find, 400)
        settle(page)
        before, z = wave(page), vector(page)
        page.evaluate(f"{S}.go({S}.now.z.map((x, k) => k === 3 ? x + 1 : x))")
        settle(page)
        assert np.abs(wave(page) - before).max() > 1e-5 and np.abs(wave(page)).max() > 1e-3
        page.locator("button", has_text="the first sound").click()  # Python sets `z`
        wait_until(page, f"Math.abs({S}.now.z[3] - {z[3] + 1}) > 1e-3", 120)
        page.close()
        page = run_in_lab(browser, port, "51_instrument")
        audio = "document.querySelector('.jp-OutputArea audio')?.src"
        wait_until(page, f"!!{audio}", 400)
        source = page.evaluate(audio)
        page.locator(".jp-OutputArea .noUi-handle").nth(3).focus()
        page.keyboard.press("ArrowRight")
        wait_until(page, f"{audio} !== {json.dumps(source)}", 120)
        page.close()
    finally:
        lab.terminate()
        lab.wait()


def run_in_lab(browser, port, chapter):
    "Open a chapter in JupyterLab and run all of it."
    page = browser.new_page(viewport={"width": 1500, "height": 1000})
    page.goto(f"http://127.0.0.1:{port}/lab/tree/{chapter}.ipynb?reset")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=200_000)
    page.wait_for_timeout(1500)
    page.get_by_text("Run", exact=True).first.click()
    page.get_by_text("Run All Cells", exact=True).click()
    return page


def test_odd_stores_make_an_instrument_too(browser, tmp_path):
    "No labels, one sound, labels that are HTML, more labels than colours."
    torch.manual_seed(0)
    model = SampleVAE(latent=3, size="tiny", sample_rate=16_000, seconds=0.25, hop_length=256)
    for name, labels in {
        "none": [""] * 9,
        "one": ["kick"],
        "html": ["<b onclick=x>", "</script>", "&amp;"] * 4,
        "many": [f"l{n}" for n in range(300)],
    }.items():
        store = make_store(tmp_path / name, labels)
        page = open_page(
            browser, write_page(tmp_path / name, model, NormalPrior(3, model.config.pitch_dims), store).as_uri()
        )
        page.evaluate("instrument.ui.acts.dice()")
        settle(page)
        assert page.complaints == [] and np.abs(wave(page)).max() > 0
        shown = page.locator("[data-el=labels] button").all_text_contents()
        assert sorted(shown) == sorted({*labels} - {""})[:255] or name == "many"
        page.close()


def make_store(place, labels):
    "A store of decaying noises with these labels, all of them to train on."
    torch.manual_seed(1)
    place.mkdir()
    sounds = torch.randn(len(labels), 4000) * torch.exp(-torch.arange(4000) / 600)

    class Sounds:
        rate, table = 16_000, pd.DataFrame({"label": labels})

        def __len__(self):
            return len(labels)

        def split(self, name):
            return self

        def sample(self, most):
            return self

        def sounds(self, rows, device="cpu"):
            return 0.3 * sounds[rows]

    return Sounds()
