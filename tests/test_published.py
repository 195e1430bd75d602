"What comes with the clone, what is passed on, and what begins from it."

import json
import shutil

import numpy as np
import pytest
import soundfile
import torch

from samplevae.config import START_SETTINGS, Config, open_run
from samplevae.dataset import prepare_store
from samplevae.experiments import config_from_row
from samplevae.factors import draw
from samplevae.instrument import write_page
from samplevae.phases import make_fabric
from samplevae.prior import generate, load
from samplevae.published import is_published, list_published, load_published, publish
from samplevae.runs import Run
from samplevae.settings import Refused
from samplevae.synthesis import synthesise
from samplevae.training import Training
from samplevae.vae import PUBLISHED, SampleVAE, locate, start_from
from samplevae.vectors import decode_vectors

NAMES = sorted(path.name for path in PUBLISHED.glob("*") if is_published(path))


@pytest.fixture(scope="module")
def passed_on(smoke_run, tmp_path_factory):
    "The folder of an instrument that was published."
    return publish(open_run(smoke_run), tmp_path_factory.mktemp("given") / "tiny", "It is tiny.")


@pytest.fixture
def sounds_folder(tmp_path, monkeypatch):
    "Forty drums at 22,050 Hz."
    monkeypatch.setenv("SAMPLEVAE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "sounds").mkdir()
    for number, wave in enumerate(synthesise(draw(torch.arange(40)), 22_050, 0.5).numpy()):
        soundfile.write(tmp_path / f"sounds/{number}.wav", wave, 22_050)
    return tmp_path / "sounds"


@pytest.mark.quick
@pytest.mark.parametrize("name", NAMES)
def test_a_published_instrument_plays_without_training(name, tmp_path):
    model, prior, (header, data) = load_published(name)
    size = sum(path.stat().st_size for path in locate(name).rglob("*") if path.is_file())
    assert size < 12e6 and len(data["data.vectors"]) == len(data["data.kinds"]) == len(data["data.descriptors"])
    with torch.no_grad():
        sounds = decode_vectors(model, torch.tensor([sound["z"] for sound in header["presets"]]))
    assert sounds.isfinite().all() and sounds.abs().amax(1).min() > 0.05, "each preset is heard"
    new = generate(model, prior, 8, label=header["labels"][0])
    assert new.isfinite().all() and new.abs().amax(1).median() > 0.05
    page = write_page(tmp_path, model, prior, (header, data))
    assert 1e6 < page.stat().st_size < 20e6
    card = (locate(name) / "README.md").read_text()
    for part in "## Sounds", "## Training", "## Measured", "## What it cannot do", "licence":
        assert part in card
    assert "Nobody has written this down yet" not in card


def test_some_come_with_the_clone():
    assert "one-shots" in NAMES and {row["instrument"] for row in list_published()} == set(NAMES)


def test_what_is_passed_on_plays_as_the_run_does(smoke_run, passed_on, command, tmp_path, monkeypatch):
    model, prior, (header, data) = load_published(passed_on)
    ours, own_prior = load(smoke_run)
    z = torch.randn(8, model.config.pitch_dims + 8)
    with torch.no_grad():
        theirs, sounds = decode_vectors(model, z), decode_vectors(ours, z)
    error = (theirs - sounds).square().sum(1) / sounds.square().sum(1)
    assert error.median() < 1e-5, "16 bits are enough"
    assert torch.allclose(prior.sample((4,), seed=1), own_prior.sample((4,), seed=1))
    assert torch.equal(load(passed_on)[1].sample((4,), seed=1), prior.sample((4,), seed=1))
    assert {sound["name"] for sound in header["presets"]} == set(header["labels"])
    assert all(np.isclose(data["data.vectors"], sound["z"]).all(1).any() for sound in header["presets"])
    monkeypatch.chdir(tmp_path)
    done = command("play", passed_on, "--no-browser")
    assert done.returncode == 0 and (tmp_path / "outputs/instruments/tiny/play.html").exists(), done.stderr
    done = command("generate", passed_on, "-n", 2, "--out", tmp_path / "new")
    assert done.returncode == 0 and len(list((tmp_path / "new").glob("*.wav"))) == 2
    assert "It is tiny." in (passed_on / "README.md").read_text()


def test_what_cannot_be_published_or_found_is_refused(smoke_run, passed_on, tmp_path):
    with pytest.raises(Refused, match="no published instrument nothing: give a folder, or one of"):
        load_published("nothing")
    (tmp_path / "full").mkdir(), (tmp_path / "full/mine.txt").write_text("dear")
    with pytest.raises(Refused, match="holds other files"):
        publish(open_run(smoke_run), tmp_path / "full")
    shutil.copytree(smoke_run, tmp_path / "run")
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    del manifest["prior"]
    (tmp_path / "run/manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(Refused, match="not finished"):
        publish(open_run(tmp_path / "run"), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    shutil.copytree(passed_on, tmp_path / "cut")
    (tmp_path / "cut/sounds.safetensors").write_bytes((passed_on / "sounds.safetensors").read_bytes()[:-100])
    with pytest.raises(Refused, match="sounds.safetensors is damaged"):
        load_published(tmp_path / "cut")
    assert publish(open_run(smoke_run), passed_on, "It is tiny.") == passed_on, "a newer one takes the place of its own"


@pytest.mark.quick
def test_a_model_begins_from_another_with_all_that_fits():
    torch.manual_seed(0)
    plain = dict(size="tiny", latent=8, sample_rate=16_000, seconds=0.25, hop_length=256)
    for changes in {}, dict(head="rave", frontend="bands"), dict(latent_shape="sequence"):
        other, model = SampleVAE(**plain | changes), SampleVAE(**plain | changes)
        assert start_from(model, other) == []
        z = torch.randn(2, *model.shape)
        with torch.no_grad():
            assert torch.allclose(model.eval().decode(z), other.eval().decode(z), atol=1e-5)
    longer, other = SampleVAE(**plain | dict(seconds=0.5)), SampleVAE(**plain)
    before = longer.decoder.project[0].weight.clone()
    anew = start_from(longer, other)
    assert "decoder.project.0.weight" in anew and torch.equal(longer.decoder.project[0].weight, before)
    assert torch.equal(longer.decoder.head.waves.weight, other.decoder.head.waves.weight)


def test_a_run_begins_from_what_was_published_and_says_what_it_learns_anew(passed_on, sounds_folder, tmp_path, command):
    config = config_from_row({"start": str(passed_on), "data": str(sounds_folder), "prior": "normal"})
    theirs = SampleVAE.from_pretrained(passed_on)
    assert (config.seconds, config.latent, config.steps) == (0.25, 8, START_SETTINGS["steps"])
    run = Run.create(tmp_path / "run", config)
    with run.stage("train"):
        training = Training(run, prepare_store(run), make_fabric(config))
        assert run.warnings == []
    z = torch.randn(2, *theirs.shape)
    with torch.no_grad():
        assert torch.allclose(training.average.eval().decode(z), theirs.eval().decode(z), atol=1e-5)
    changed = config_from_row(
        {"start": str(passed_on), "data": str(sounds_folder), "seconds": 0.4, "sample_rate": 22_050}
    )
    assert (changed.seconds, changed.sample_rate) == (0.4, 22_050), "what is asked for counts"
    run = Run.create(tmp_path / "other", changed)
    with run.stage("train"):
        Training(run, prepare_store(run), make_fabric(changed))
        text = " ".join(run.warnings)
    assert "learned anew" in text and "sample_rate" in text
    done = command("run", "--start", tmp_path / "nowhere", "--data", sounds_folder)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "nowhere" in done.stderr
    assert Config.preset("smoke").start == ""
