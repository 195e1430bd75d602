"The report, as a browser sees it."

import re
import shutil
import subprocess

import pytest
from conftest import CLONE

from samplevae.vae import SampleVAE

pytestmark = pytest.mark.quick
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LOOK = """<script>
addEventListener("load", async () => {
  const sounds = [...document.querySelectorAll("audio")], pictures = [...document.querySelectorAll("img")];
  await Promise.all(sounds.map((s) => s.readyState >= 3 || new Promise((done) => { s.oncanplay = done; s.onerror = done; s.load(); })));
  const good = sounds.filter((s) => s.duration > 0.2 && !s.error).length;
  const seen = pictures.filter((p) => p.complete && p.naturalWidth > 50).length;
  document.body.dataset.found = `sounds ${good}/${sounds.length} pictures ${seen}/${pictures.length}`;
});
</script>"""


@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium (Debian: apt-get install chromium)")
def test_the_report_plays_and_shows_its_sounds(smoke_run, tmp_path):
    page = tmp_path / "report.html"
    page.write_text((smoke_run / "report.html").read_text() + LOOK)
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    seen = subprocess.run(
        [CHROMIUM, *options, profile, "--virtual-time-budget=20000", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=600,
    ).stdout
    sounds, all_sounds, pictures, all_pictures = map(
        int, re.search(r"sounds (\d+)/(\d+) pictures (\d+)/(\d+)", seen.split("data-found=")[1]).groups()
    )
    assert sounds == all_sounds >= 24 and pictures == all_pictures >= 24


def test_the_report_needs_nothing_but_itself(smoke_run):
    text = (smoke_run / "report.html").read_text()
    sources = re.findall(r'(?:src|href)="(.{5})', text)
    assert set(sources) == {"data:", "play."}, "all but the instrument beside it is inside"


def test_what_the_front_page_says_of_python_can_be_run(smoke_run, tmp_path):
    page = (CLONE / "README.md").read_text()
    program = re.search(r"```python\n(.*?)```", page, re.S)[1]
    assert "outputs/cpu" in program
    for name, place in {"new.wav": tmp_path / "new.wav", "copy": tmp_path / "copy", "cpu": smoke_run}.items():
        program = program.replace(f"outputs/{name}", str(place))
    names: dict = {}
    exec(program, names)
    assert names["sounds"].shape[0] == 16 and names["higher"].abs().max() > 0
    assert SampleVAE.from_pretrained(tmp_path / "copy").shape == names["model"].shape
