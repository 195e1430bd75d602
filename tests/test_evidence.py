"The embeddings, the metrics and the evaluation, against what others compute and against bad input."

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import librosa
import numpy as np
import ot
import pytest
import soundfile
import soxr
import torch
from conftest import CLONE, samplevae
from prdc import compute_prdc
from torch.nn import functional as F
from transformers import (
    ClapAudioConfig,
    ClapAudioModelWithProjection,
    ClapFeatureExtractor,
    RobertaConfig,
    RobertaModel,
)

from samplevae import metrics
from samplevae.aisfx import aisfx_levels, find_aisfx_checkpoint, load_aisfx
from samplevae.audio_transformers import audio_transformer
from samplevae.clap import (
    clap,
    htsat,
    load_embeddings,
    parse_embeddings,
    rank_by_text,
    read_laion_checkpoint,
)
from samplevae.comparison import load_sound_sets
from samplevae.embeddings import (
    EMBEDDINGS,
    SHIPPED_DRUMNET,
    Embedding,
    drumnet,
    drumnet_for_store,
    make_drumnet,
    mel,
)
from samplevae.evaluation import summary_sentences
from samplevae.factors import DRUMS, draw
from samplevae.metrics import frechet, frechet_infinity, kad, kid, median_bandwidth, prdc, realism, vendi
from samplevae.novelty import find_copies, memorised
from samplevae.pitch import certain_pitch, track_pitch, tracked_pitch_error
from samplevae.reconstruction import attack_error, level_after_end
from samplevae.settings import Refused
from samplevae.sources import synthesis_source
from samplevae.store import Store
from samplevae.synthesis import synthesise
from samplevae.untrusted import run_export, sounds_from_rave

RATE = 16_000


@pytest.fixture(scope="module")
def sounds():
    "Forty sounds of the synthesiser."
    return synthesise(draw(torch.arange(40)), RATE, 0.3)


@pytest.fixture
def points():
    "Two sets of points that differ in mean, spread and form."
    generator = np.random.default_rng(0)
    bent = generator.normal(size=(16, 16))
    real = generator.normal(size=(400, 16)) @ bent
    return real, np.tanh(generator.normal(size=(300, 16))) @ bent * 1.3 + 0.2


@pytest.fixture(scope="module", autouse=True)
def module_cache(tmp_path_factory):
    "A cache that ends with these tests."
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMPLEVAE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    "A cache that ends with the test, and is not there yet."
    monkeypatch.setenv("SAMPLEVAE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# Metrics, beside those of others


def test_frechet_is_what_others_compute(points, monkeypatch):
    monkeypatch.syspath_prepend(str(CLONE / ".venv/apart"))
    from torchmetrics.image.fid import _compute_fid

    real, fake = points
    mine = frechet(real, fake)
    moments = [(x.mean(0), np.cov(x, rowvar=False)) for x in points]
    (a, c), (b, d) = moments
    assert mine == pytest.approx(ot.gaussian.bures_wasserstein_distance(a, b, c, d) ** 2, rel=1e-6)
    tensors = [torch.from_numpy(part) for part in (a, c, b, d)]
    assert mine == pytest.approx(_compute_fid(*tensors).item(), rel=1e-6)


def test_kid_is_what_others_compute(points, monkeypatch):
    monkeypatch.syspath_prepend(str(CLONE / ".venv/apart"))
    from torchmetrics.image.kid import poly_mmd

    real, fake = points[0][:300], points[1]
    assert kid(real, fake) == pytest.approx(poly_mmd(*map(torch.from_numpy, (real, fake))).item(), rel=1e-6)


@pytest.mark.parametrize("k", [1, 5, 20])
def test_the_four_shares_are_what_others_compute(points, k):
    theirs = compute_prdc(*points, nearest_k=k)
    assert {name: float(score) for name, score in prdc(*points, k=k).items()} == pytest.approx(theirs, rel=1e-9)


def test_kad_is_the_closed_form_of_round_gaussians():
    "Exactly so for the plain sum over pairs, and on average for the closed form."
    generator = np.random.default_rng(1)
    real, fake = generator.normal(size=(50, 3)), generator.normal(size=(60, 3)) + 1

    def kernel(x, y):
        return np.exp(-(((x[:, None] - y) ** 2).sum(2)) / 8)

    within = [(kernel(x, x).sum() - len(x)) / (len(x) * (len(x) - 1)) for x in (real, fake)]
    assert kad(real, fake, bandwidth=2.0) == pytest.approx(sum(within) - 2 * kernel(real, fake).mean(), rel=1e-9)
    drawn = generator.normal(size=(200, 2, 100, 3))
    found = [kad(a, b + 1, bandwidth=2.0) for a, b in drawn]
    truth = 2 * (4 / 6) ** 1.5 * (1 - np.exp(-3 / 12))
    assert np.mean(found) == pytest.approx(truth, abs=4 * np.std(found) / np.sqrt(200))


def test_kad_takes_its_width_from_the_real_points(points):
    real, fake = points
    assert (
        kad(real, fake)
        == kad(real, fake, bandwidth=median_bandwidth(real))
        != kad(real, fake, bandwidth=median_bandwidth(fake))
    )


@pytest.mark.parametrize("n", [1, 2, 30])
def test_vendi_counts_what_differs(n):
    assert vendi(np.eye(n)) == pytest.approx(n, rel=1e-9)
    assert vendi(np.repeat(np.eye(30)[:n], 5, 0)) == pytest.approx(n, rel=1e-9)
    assert vendi(100 + np.eye(n)) < 1.01 and vendi(100 + np.eye(n), centre=100.0) == pytest.approx(n, rel=1e-9)


@pytest.mark.parametrize("n", [60, 200])
def test_frechet_needs_no_full_rank(n):
    "Fewer points than dimensions: the sum of singular values says the same."
    generator = np.random.default_rng(2)
    real, fake = generator.normal(size=(2, n, 100))
    a, b = real - real.mean(0), fake - fake.mean(0)
    shared = np.linalg.svd(a @ b.T / (n - 1), compute_uv=False).sum()
    apart = ((real.mean(0) - fake.mean(0)) ** 2).sum()
    expected = apart + ((a**2).sum() + (b**2).sum()) / (n - 1) - 2 * shared
    assert frechet(real, fake) == pytest.approx(expected, rel=1e-6)


def test_equal_sets_are_at_no_distance_with_endless_points():
    generator = np.random.default_rng(3)
    found = [frechet_infinity(*generator.normal(size=(2, 400, 16))) for _ in range(12)]
    usual = frechet(*generator.normal(size=(2, 400, 16)))
    assert abs(np.mean(found)) < 0.1 * usual and usual > 0.3


@pytest.mark.parametrize("measure", [frechet, frechet_infinity, kid, kad], ids=lambda f: f.__name__)
def test_intervals_hold_what_they_say(measure):
    "Of 100 intervals, each from its own points, about 90 hold the mean of all values."
    generator = np.random.default_rng(4)
    scores = [measure(a, b + 0.5, repeats=20) for a, b in generator.normal(size=(100, 2, 120, 4))]
    held = np.mean([score.low <= np.mean(scores) <= score.high for score in scores])
    assert held > 0.78
    assert np.mean([score.high - score.low for score in scores]) < 6 * np.std(scores)


@pytest.mark.parametrize("measure", [frechet, frechet_infinity, kid, kad, prdc, realism], ids=lambda f: f.__name__)
@pytest.mark.parametrize("fault", ["few", "nan", "width", "flat"])
def test_measures_refuse_what_they_cannot_measure(measure, fault):
    real = np.random.default_rng(5).normal(size=(40, 4))
    wrong = {"few": real[:3], "nan": np.where(real > 2, np.nan, real), "width": real[:, :3], "flat": real[0]}[fault]
    with pytest.raises(Refused, match="needed|NaN|numbers|have to come"):
        measure(real, wrong)


def test_a_score_says_how_sure_it_is_and_of_how_many(points):
    score = frechet(*points, repeats=20)
    assert score.low < score < score.high and score.counts == (400, 300)
    assert np.isnan(frechet(*points).low)
    assert json.loads(json.dumps(score.as_dict())).keys() == {"value", "low", "high"}


def test_copies_are_found(sounds):
    train, held = sounds[:20], sounds[20:30]
    late = torch.nn.functional.pad(0.2 * train[:5], (333, 0))[:, : train.shape[1]]
    shared, which, line = find_copies(train, held, torch.cat([late, sounds[30:]]), RATE)
    assert (shared[:5] > line).all() and (which[:5] == np.arange(5)).all() and (shared[5:] < shared[:5].min()).all()
    cloud = [mel().embed(x, RATE) for x in (train, held, train, sounds[30:])]
    assert memorised(*cloud[:3]) == 1 and 0.2 < memorised(cloud[0], cloud[1], cloud[3]) < 0.8


def test_silence_has_no_landmarks():
    shared, _, _ = find_copies(torch.zeros(8, 4000), torch.zeros(8, 4000), torch.zeros(8, 4000), RATE)
    assert not shared.any()


# Embeddings


def test_what_was_embedded_is_found_again_wherever_it_lies(sounds, own_cache):
    asked = []
    first_four = Embedding("first four", "1", lambda x, rate: asked.append(len(x)) or x[:, :4])
    first = first_four.embed(sounds, RATE)
    again = first_four.embed(sounds.clone(), RATE)
    assert np.array_equal(first, again) and asked == [40]
    first_four.embed(sounds, RATE // 2), first_four.embed(sounds + 1e-4, RATE)
    Embedding("first four", "2", first_four.points).embed(sounds, RATE)
    assert asked == [40] * 4
    damages = [
        lambda whole: whole[:50],
        lambda whole: b"PK\x03\x04" + whole,
        lambda whole: whole.replace(b"{'d", b"{(d"),
    ]
    for number, damage in enumerate(damages, 5):
        for file in (own_cache / "embeddings").iterdir():
            file.write_bytes(damage(file.read_bytes()))
        assert np.array_equal(first_four.embed(sounds, RATE), first) and len(asked) == number


@pytest.mark.parametrize("fault", ["one sound", "none", "lengths", "nan", "rate"])
def test_what_cannot_be_embedded_is_refused(sounds, fault):
    wrong = {"one sound": sounds[0], "none": sounds[:0], "lengths": [sounds[0], sounds[1][:9]], "nan": sounds / 0}
    with pytest.raises(Refused, match="number, samples|one length|NaN|0 Hz"):
        mel().embed(wrong.get(fault, sounds), 0 if fault == "rate" else RATE)


def test_an_embedding_that_breaks_down_is_not_kept(sounds, own_cache):
    broken = Embedding("broken", "1", lambda x, rate: x[:, :4] / 0)
    with pytest.raises(Refused, match="no numbers for"):
        broken.embed(sounds, RATE)
    assert not own_cache.exists()


@pytest.fixture(scope="module")
def labelled_store(tmp_path_factory):
    "Sounds with labels, in a store."
    return Store.prepare(synthesis_source(400, 2, DRUMS), tmp_path_factory.mktemp("store") / "store", RATE, 0.3)


def test_a_drumnet_names_what_it_has_learned_and_says_how_well(labelled_store, tmp_path, sounds):
    path = tmp_path / "drumnet.safetensors"
    make_drumnet(labelled_store, path, steps=120)
    embedding = drumnet(path)
    right = float(re.search(r"names ([\d.]+)% of (\d+)", embedding.about)[1]) / 100
    others = labelled_store.split("test", "valid")
    assert right > 3 / len(DRUMS) and f"of {len(others)} " in embedding.about
    one, other = embedding.embed(sounds, RATE), drumnet(shutil.copy(path, tmp_path / "moved")).embed(sounds, RATE)
    assert np.array_equal(one, other) and one.shape == (40, 64)
    slow = torch.stack([torch.from_numpy(soxr.resample(x, RATE, 22_050)) for x in sounds.numpy()])
    assert np.corrcoef(one.ravel(), embedding.embed(slow, 22_050).ravel())[0, 1] > 0.98
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(Refused, match="damaged"):
        drumnet(path)


def test_synthesised_sounds_are_scored_by_the_drumnet_that_ships(labelled_store, tmp_path):
    shipped = drumnet_for_store(labelled_store)
    assert shipped.key == drumnet(SHIPPED_DRUMNET).key
    right = float(re.search(r"names ([\d.]+)%", shipped.about)[1])
    assert right > 90
    fresh = draw(torch.arange(160), 77, DRUMS)
    points = shipped.embed(synthesise(fresh, 44_100, 0.6), 44_100)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(160)
    kinds = fresh.kind.numpy()
    assert np.mean(kinds[distance.argmin(1)] == kinds) > 0.9, "neighbours are of one kind"


def test_a_drumnet_needs_labels(labelled_store, tmp_path):
    bare = labelled_store.with_table(labelled_store.table.assign(label=""))
    with pytest.raises(Refused, match="two labels"):
        make_drumnet(bare, tmp_path / "drumnet.safetensors")
    assert [embedding.name for embedding in load_embeddings("auto", bare)] == ["mel"] + ["aisfx"] * (
        find_aisfx_checkpoint() is not None
    )


def laion_weights(text_width=0):
    "Random weights in LAION's layout."
    torch.manual_seed(0)
    audio = htsat(96)
    for parameter in (p for p in audio.parameters() if p.requires_grad):  # but for what makes the spectrogram
        torch.nn.init.normal_(parameter, std=0.05) if parameter.ndim > 1 else torch.nn.init.uniform_(parameter, 0.5, 1)
    weights = {f"module.audio_branch.{name}": w.clone() for name, w in audio.state_dict().items()}
    for half, width in {"audio": 768, "text": text_width}.items():
        for number, size in (0, width), (2, 512):
            if width:
                weights[f"module.{half}_projection.{number}.weight"] = torch.randn(512, size) / size**0.5
                weights[f"module.{half}_projection.{number}.bias"] = torch.randn(512)
    return weights


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    "A checkpoint as LAION saves it: all weights under `module.`, and numbers of numpy's beside them."
    weights = laion_weights(text_width=64)
    sizes = dict(vocab_size=300, hidden_size=64, num_hidden_layers=2, num_attention_heads=1, intermediate_size=128)
    text = RobertaModel(RobertaConfig(**sizes, max_position_embeddings=80, type_vocab_size=1)).state_dict()
    weights |= {f"module.text_branch.{name}": w for name, w in text.items()}
    weights["module.text_branch.embeddings.position_ids"] = torch.arange(80)[None]
    path = tmp_path_factory.mktemp("clap") / "some_clap.pt"
    torch.save({"epoch": 15, "name": "x", "state_dict": weights, "best": np.float64(0.9)}, path)
    return path


def in_the_names_of_transformers(weights):
    "LAION's audio weights under the names that they have in transformers."
    names = {
        "bn0": "batch_norm", "attn.proj": "attention.output.dense", "attn.relative": "attention.self.relative",
        "norm1": "layernorm_before", "norm2": "layernorm_after", "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense", "audio_branch": "audio_model.audio_encoder",
        "projection.0": "projection.linear1", "projection.2": "projection.linear2",
    }  # fmt: skip
    found = {}
    for name, w in weights.items():
        name = name.removeprefix("module.")
        for old, new in names.items():
            name = name.replace(old, new)
        if "attn.qkv" in name:
            for kind, part in zip(("query", "key", "value"), w.chunk(3), strict=True):
                found[name.replace("attn.qkv", f"attention.self.{kind}")] = part
        else:
            found[name] = w
    return found


def test_clap_is_what_transformers_computes(checkpoint, sounds):
    model = ClapAudioModelWithProjection(ClapAudioConfig()).eval()
    missing, _ = model.load_state_dict(in_the_names_of_transformers(laion_weights()), strict=False)
    assert not [name for name in missing if "relative_position_index" not in name]
    some = sounds[:4] + 1e-3 * torch.randn(4, sounds.shape[1])  # digital silence is all rounding, in decibels
    resampled = torch.stack([torch.from_numpy(soxr.resample(x, RATE, 48_000)) for x in some.numpy()])
    extractor = ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad", frequency_min=50)  # as in the hub
    features = extractor(list(resampled.numpy()), sampling_rate=48_000, return_tensors="pt")["input_features"]
    with torch.no_grad():
        theirs = torch.nn.functional.normalize(model(features).audio_embeds, dim=1)
    mine = np.asarray(clap(str(checkpoint)).points(some, RATE))
    assert np.abs(mine - theirs.numpy()).max() < 1e-5
    assert np.linalg.norm(mine[0] - mine[1]) > 1e-3 and mine.shape == (4, 512)


def test_a_checkpoint_of_an_older_numpy_loads_too(checkpoint, tmp_path):
    "LAION's files were written when `numpy._core` was called `numpy.core`."
    path = tmp_path / "old.pt"
    with zipfile.ZipFile(checkpoint) as new, zipfile.ZipFile(path, "w") as old:
        for name in new.namelist():
            content = new.read(name)
            old.writestr(name, content.replace(b"numpy._core", b"numpy.core") if name.endswith(".pkl") else content)
    assert read_laion_checkpoint(path).keys() == read_laion_checkpoint(checkpoint).keys()


def test_only_numbers_are_taken_from_a_checkpoint(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    torch.save({"state_dict": {"audio_branch.patch_embed.proj.weight": Trap()}}, tmp_path / "trap.pt")
    with pytest.raises(Refused, match="no CLAP"):
        clap(str(tmp_path / "trap.pt"))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("fault", ["cut short", "text", "other model", "missing", "layer gone"])
def test_a_wrong_checkpoint_is_refused(checkpoint, tmp_path, fault):
    path = tmp_path / "wrong.pt"
    if fault == "cut short":
        path.write_bytes(checkpoint.read_bytes()[:100_000])
    elif fault == "text":
        path.write_text("404: not found")
    elif fault == "other model":
        torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    elif fault == "layer gone":
        weights = laion_weights()
        torch.save({name: w for name, w in weights.items() if "layers.2" not in name}, path)
    with pytest.raises(Refused, match="CLAP"):
        clap(str(path))


def test_without_a_network_it_says_which_file_to_put_where(monkeypatch, tmp_path):
    monkeypatch.setenv("SAMPLEVAE_CACHE", str(tmp_path / "data"))
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *a, **k: (_ for _ in ()).throw(ConnectionError("no")))
    with pytest.raises(Refused, match=r"music_audioset_epoch_15_esc_90.14.pt .*data/clap.*mel or drumnet"):
        clap("music")
    (tmp_path / "data/clap").mkdir(parents=True)
    (tmp_path / "data/clap/music_audioset_epoch_15_esc_90.14.pt").write_bytes(b"half of it")
    with pytest.raises(Refused, match="sha256"):
        clap("music")


def test_clap_reads(checkpoint, tmp_path):
    letters = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *"abcdefghijklmnopqrstuvwxyz", "Ġ"]
    (tmp_path / "vocab.json").write_text(json.dumps({letter: number for number, letter in enumerate(letters)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    embedding = clap(str(checkpoint), tokenizer=str(tmp_path))
    dark, bright, again = embedding.text(["a dark kick", "a very bright hat indeed", "a dark kick"])
    assert np.allclose(dark, again, atol=1e-6) and np.linalg.norm(dark - bright) > 1e-4
    assert np.linalg.norm(dark) == pytest.approx(1, rel=1e-6)
    waves = synthesise(draw(torch.arange(6)), RATE, 0.3)
    order = rank_by_text(embedding, "a dark kick", waves, RATE)
    near = embedding.embed(waves, RATE) @ dark
    assert sorted(order) == [*range(6)] and (np.diff(near[order]) <= 0).all()
    with pytest.raises(Refused, match="has no text encoder"):
        rank_by_text(mel(), "a dark kick", waves, RATE)
    with pytest.raises(Refused, match="tokenizer"):
        clap(str(checkpoint), tokenizer=str(tmp_path / "nothing")).text(["a dark kick"])


def test_sounds_longer_than_clap_takes_are_cut(checkpoint):
    embedding, long = clap(str(checkpoint)), torch.randn(1, 500_000)
    assert torch.equal(embedding.points(long, 48_000), embedding.points(long[:, :480_000], 48_000))


@pytest.mark.parametrize("text", ["klap", "clap:jazz", "drumnet:nowhere", "mel:x", "", "mel, drumnt"])
def test_an_unknown_embedding_is_refused_before_anything_is_done(text, command, tmp_path):
    with pytest.raises(Refused):
        parse_embeddings(text)
    if text == "klap":
        done = command("run", "--preset", "smoke", "--out", tmp_path / "run", "--set", f"embedding={text}")
        assert done.returncode == 2 and "did you mean 'clap'" in done.stderr and not (tmp_path / "run").exists()


# Evaluation


def write_folder(path, waves, rate=RATE):
    "Sounds as files."
    path.mkdir(parents=True)
    for number, wave in enumerate(waves):
        soundfile.write(path / f"{number:03}.wav", np.asarray(wave), rate)
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    "Real sounds, others like them, and noise, in folders."
    place = tmp_path_factory.mktemp("folders")
    waves = synthesise(draw(torch.arange(260), 3, DRUMS), RATE, 0.3).numpy()
    write_folder(place / "real", waves[:200])
    write_folder(place / "others", waves[200:])
    write_folder(place / "noise", 0.3 * np.random.default_rng(0).normal(size=(20, 5000)))
    return place


FORM = ("--rate", RATE, "--seconds", 0.3)


def test_any_folder_can_be_scored(folders, command, tmp_path):
    out = tmp_path / "out"
    done = samplevae(
        "evaluate", folders / "others", folders / "noise", "--reference", folders / "real", "--out", out, *FORM
    )
    assert done.returncode == 0, done.stderr
    rows = {row["sounds"]: row for row in json.loads((out / "metrics.json").read_text())["generation by mel"]}
    assert list(rows) == ["real, held out", "real, other splits", "others", "noise (2)", "noise"]
    assert rows["others"]["Fréchet ↓"]["high"] < rows["noise (2)"]["Fréchet ↓"]["low"]
    assert rows["others"]["number"] == 60 <= rows["real, held out"]["number"] and "Fréchet" in done.stdout
    assert "20 sounds, and" in done.stderr, "fewer than the floor has: it is said"
    report = (out / "report.html").read_text()
    assert "against" in report and "learning_rate" not in report, "nothing was trained"
    assert len(list((out / "figures").glob("*.png"))) >= 4
    again = command("evaluate", folders / "noise", "--reference", folders / "real", "--out", out, *FORM)
    assert again.returncode == 0, again.stderr
    assert not [path for path in out.rglob("*") if "others" in path.name], "nothing is left of the last time"


class Mimic(torch.nn.Module):
    "What a RAVE export looks like from outside."

    def __init__(self) -> None:
        super().__init__()
        self.sr = 22_050
        self.register_buffer("decode_params", torch.tensor([4, 64, 1, 1]))

    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(x.shape[0], -1, 64)[:, :, :4].transpose(1, 2)

    @torch.jit.export
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return torch.tanh(z.mean(1, keepdim=True).repeat_interleave(64, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(x))


@pytest.mark.parametrize("fault", ["rate", "frames", "shape", "nan"])
def test_an_export_that_misbehaves_is_refused(folders, tmp_path, fault):
    class Shapeless(Mimic):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, 0]

    class Silent(Mimic):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x / 0

    model = {"shape": Shapeless, "nan": Silent}.get(fault, Mimic)()
    model.sr = -5 if fault == "rate" else model.sr
    model.decode_params[1] = 0 if fault == "frames" else 64
    path = tmp_path / "model.ts"
    torch.jit.script(model).save(path)
    held = synthesise(draw(torch.arange(9)), RATE, 0.3)
    with pytest.raises(Refused, match="RAVE export|usable sounds"):
        load_sound_sets(path, SimpleNamespace(rate=RATE), held, 100)


class Overwriting(Mimic):
    "One that writes over a file when it decodes."

    def __init__(self, victim: str) -> None:
        super().__init__()
        self.victim = victim

    @torch.jit.export
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        silence = torch.from_file(self.victim, True, 16).zero_()
        print("here I am")
        return torch.tanh(z.mean(1, keepdim=True).repeat_interleave(64, 2)) + silence.sum()


def test_an_export_cannot_overwrite_a_file(tmp_path):
    victim, path = tmp_path / "victim", tmp_path / "model.ts"
    victim.write_text("all is well " * 10)
    torch.jit.script(Overwriting(str(victim))).save(path)
    program = "from samplevae.untrusted import forbid_writing; print(forbid_writing())"
    whole = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "True"
    held = synthesise(draw(torch.arange(9)), RATE, 0.3)
    if not whole:
        pytest.skip("this system cannot take the right to write from a process")
    with pytest.raises(Refused, match="RAVE export"):
        sounds_from_rave(path, held, RATE, 9)
    assert victim.read_text() == "all is well " * 10
    run_export(str(path), held, RATE, 9)
    assert victim.read_bytes()[:64] == bytes(64), "with the right to write, it would"


def test_a_rave_export_and_a_run_enter_the_same_table(folders, smoke_run, command, tmp_path):
    torch.jit.script(Mimic()).save(tmp_path / "mimic.ts")
    out = tmp_path / "out"
    exported = "evaluate", tmp_path / "mimic.ts", smoke_run, "--reference", folders / "real", "--out", out, *FORM
    refused = command(*exported)
    assert refused.returncode == 2 and "--trust" in refused.stderr and not out.exists()
    done = command(*exported, "--trust")
    assert done.returncode == 0, done.stderr
    names = [row["sounds"] for row in json.loads((out / "metrics.json").read_text())["generation by mel"]]
    expected = ["mimic, reconstructed", "mimic, random", "smoke, spline prior", "smoke, normal prior"]
    assert names == ["real, held out", "real, other splits", *expected, "noise"]


@pytest.mark.parametrize(
    "fault",
    ["few", "empty", "missing", "text", "cut .ts", "other .ts", "silent", "a run's folder", "other files", "begun"],
)
def test_what_cannot_be_scored_is_refused_and_leaves_nothing(folders, smoke_run, command, tmp_path, fault):
    path, out = tmp_path / "in", tmp_path / "out"
    if fault == "few":
        write_folder(path, np.random.default_rng(0).normal(size=(3, 4000)) / 9)
    elif fault == "empty":
        path.mkdir()
    elif fault == "text":
        path.write_text("no sound")
    elif fault == "silent":
        write_folder(path, np.zeros((20, 4000)))
    elif fault == "a run's folder":
        path, out = folders / "others", smoke_run
    elif fault in ("other files", "begun"):  # of a run that was begun there is nothing but its settings
        path = folders / "others"
        out.mkdir()
        (out / {"other files": "thesis.tex", "begun": "config.json"}[fault]).write_text("{}")
    elif fault.endswith(".ts"):
        path = tmp_path / "model.ts"
        torch.jit.script(torch.nn.Linear(2, 2)).save(path)
        fault == "cut .ts" and path.write_bytes(path.read_bytes()[:300])
    before = (smoke_run / "config.json").read_text()
    evaluate = samplevae if fault == "cut .ts" else command  # one in a process of its own, where torch may say more
    done = evaluate("evaluate", path, "--reference", folders / "real", "--out", out, "--trust", *FORM)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert str(path.name) in done.stderr or str(out) in done.stderr
    assert out == smoke_run or not (out / "metrics.json").exists()
    assert (smoke_run / "config.json").read_text() == before


def test_a_refusal_takes_nothing_away(folders, command, tmp_path):
    "Neither does a kill: the new result is made aside, and takes the old one's place when it is whole."
    out, few = tmp_path / "out", write_folder(tmp_path / "few", np.random.default_rng(0).normal(size=(3, 4000)) / 9)
    options = ("--reference", folders / "real", "--out", out, *FORM, "--embedding", "mel")
    assert command("evaluate", folders / "others", *options).returncode == 0
    before = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert command("evaluate", few, *options).returncode == 2
    assert {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.lock", "few", "out"]


def test_sets_of_one_name_stay_apart_and_odd_names_are_drawn(folders, command, tmp_path):
    paths = []
    for name in ("a/kit", "b/kit", "c/kit", "real, held out", "$a_1^{2$"):
        paths.append(tmp_path / name)
        shutil.copytree(folders / "noise", paths[-1])
    os.mkfifo(paths[0] / "pipe.wav")
    out = tmp_path / "out"
    done = command("evaluate", *paths, "--reference", folders / "real", "--out", out, *FORM, "--embedding", "mel")
    assert done.returncode == 0, done.stderr
    names = [row["sounds"] for row in json.loads((out / "metrics.json").read_text())["generation by mel"]]
    expected = ["kit", "kit (2)", "kit (3)", "real, held out (2)", "$a_1^{2$"]
    assert names == ["real, held out", "real, other splits", *expected, "noise"]
    assert "1 not a file" in done.stdout


@pytest.mark.parametrize("count", [1, 3, 9])
def test_a_reference_of_too_few_is_refused(folders, command, tmp_path, count):
    waves = synthesise(draw(torch.arange(count)), RATE, 0.3)
    reference = write_folder(tmp_path / "real", waves)
    done = command("evaluate", folders / "others", "--reference", reference, "--out", tmp_path / "out", *FORM)
    assert done.returncode == 2 and "at least 8 of each" in done.stderr, done.stderr


def test_files_of_every_kind_are_read_alike(folders, command, tmp_path):
    "Another rate, two channels, a late onset and a bad file among them."
    waves = synthesise(draw(torch.arange(200, 212), 3, DRUMS), 48_000, 0.3).numpy()
    late = np.concatenate([np.zeros((12, 9600), np.float32), waves], 1)
    path = write_folder(tmp_path / "mixed", np.stack([late, late], 2), 48_000)
    (path / "bad.wav").write_bytes(b"RIFF")
    done = command(
        "evaluate", path, "--reference", folders / "real", "--out", tmp_path / "out", *FORM, "--embedding", "mel"
    )
    assert done.returncode == 0 and "1 of 13 sounds cannot be used" in done.stdout, done.stderr
    row = json.loads((tmp_path / "out/metrics.json").read_text())["generation by mel"][2]
    assert row["number"] == 12


def test_a_run_has_its_row_with_intervals_floor_and_ceiling(smoke_run):
    content = json.loads((smoke_run / "metrics.json").read_text())
    rows = content["generation by mel"]
    assert [row["sounds"] for row in rows][:1] + [rows[-1]["sounds"]] == ["real, held out", "noise"]
    for row in rows:
        assert row["Fréchet ↓"]["low"] < row["Fréchet ↓"]["value"] < row["Fréchet ↓"]["high"]
    assert len({tuple(row) for row in rows}) == 1, "rows of a table have the same columns"
    assert {"reconstruction", "novelty"} < content.keys()
    assert rows[0]["Fréchet ↓"]["value"] < rows[-1]["Fréchet ↓"]["value"]


def test_measures_name_too_few_instead_of_inventing():
    found = metrics.all_metrics(*np.random.default_rng(0).normal(size=(2, 9, 4)))
    assert found["precision ↑"] == "too few" and found["coverage ↑"] == "too few" and found["KID ↓"] < 10


def test_clap_fills_up_with_silence_where_it_is_asked_to(checkpoint, sounds):
    repeated, zeros = (EMBEDDINGS["clap"](f"{checkpoint}{end}", None, "cpu", None) for end in ("", ":zeros"))
    assert (
        zeros.name == f"clap:{Path(checkpoint).stem}:zeros"
        and "silence" in zeros.about
        and "repeated" in repeated.about
    )
    ten = torch.nn.functional.pad(sounds[:2], (0, 10 * RATE - sounds.shape[1]))
    silent, again, whole = (
        np.asarray(e.points(x, RATE)) for e, x in ((zeros, sounds[:2]), (repeated, sounds[:2]), (repeated, ten))
    )
    assert np.abs(silent - whole).max() < 1e-5 < np.abs(silent - again).max()
    with pytest.raises(Refused, match="no embedding clap:nothing:zeros"):
        parse_embeddings("clap:nothing:zeros")


needs_aisfx = pytest.mark.skipif(find_aisfx_checkpoint() is None, reason="the wheel aisfx could not be had at set-up")


@needs_aisfx
def test_aisfx_is_what_its_authors_compute(sounds):
    "Their network on the same levels, and their mel bands by librosa."
    package = str(find_aisfx_checkpoint().parents[1])
    program = importlib.util.spec_from_file_location("their_cnn2d", f"{package}/models/cnn2d.py")
    theirs = importlib.util.module_from_spec(program)
    program.loader.exec_module(theirs)
    ours = load_aisfx(find_aisfx_checkpoint())
    net = theirs.EmbeddingNet("max", 3, 1, 64)
    net.load_state_dict(ours.state_dict())
    wave = torch.from_numpy(soxr.resample(sounds[:3].numpy().T, RATE, 44_100).T.copy())
    levels = aisfx_levels(wave)
    assert levels.shape == (3, 100, 96) and 0 <= levels.min() < levels.max() < 1.2
    with torch.no_grad():
        assert torch.allclose(ours(levels), net.eval()(levels), atol=1e-5)
    mels = librosa.feature.melspectrogram(
        y=np.pad(wave[0].numpy(), (0, 102_400 - wave.shape[1])), sr=44_100, n_mels=96, norm=1.0, fmin=0.0, fmax=22_050.0,
        htk=True, power=2.0, hop_length=1024, win_length=2048, pad_mode="constant",
    )  # fmt: skip
    assert np.abs(np.log10(mels * 10_000 + 1).T[:100] / 9.457798957824707 - levels[0].numpy()).max() < 1e-3


@needs_aisfx
def test_a_damaged_aisfx_is_refused_and_a_missing_one_is_left_out(tmp_path, monkeypatch):
    (tmp_path / "checkpoint.pth").write_bytes(b"PK")
    with pytest.raises(Refused, match="not the file it should be"):
        load_aisfx(tmp_path / "checkpoint.pth")
    assert ("aisfx", "") in parse_embeddings("auto")
    monkeypatch.setattr("samplevae.clap.find_aisfx_checkpoint", lambda: None)
    monkeypatch.setattr("samplevae.aisfx.find_aisfx_checkpoint", lambda: None)
    assert ("aisfx", "") not in parse_embeddings("auto")
    with pytest.raises(Refused, match="pip install --no-deps aisfx"):
        EMBEDDINGS["aisfx"]("", None, "cpu", None)


@pytest.mark.parametrize("hertz", [60.0, 440.0])
def test_the_pitch_of_what_nobody_hears_is_not_compared(hertz):
    time = torch.arange(26_460) / 44_100
    tone = (2 * torch.pi * hertz * time).sin()
    soon, later = tone * torch.exp(-time / 0.012), tone * torch.exp(-time / 0.05)  # 60 dB down after 83 and 345 ms
    pitch = certain_pitch(torch.stack([soon, later]), 44_100)
    assert pitch[0].isnan() and pitch[1].item() == pytest.approx(hertz, rel=0.01)
    ended = (later * ((0.25 - time) / 0.035).clamp(0, 1))[None]  # as a gate ends it
    assert tracked_pitch_error(pitch[1:], ended, 44_100).item() < 0.2


@pytest.mark.parametrize("kind", ["kick", "bass", "pluck"])
def test_pitch_is_found_where_the_synthesiser_knows_it(kind):
    factors = draw(torch.arange(24), 5, (kind,))
    off = 12 * (track_pitch(synthesise(factors, 44_100, 0.6), 44_100) / factors.pitch[:, 0]).log2()
    assert (off.abs() < 0.5).float().mean() > 0.9


def test_what_has_no_pitch_is_given_none():
    noise = 0.3 * torch.randn(6, 26_460)
    for sounds in noise, 0 * noise, noise[:, :400], torch.full((2, 26_460), 0.5):
        assert track_pitch(sounds, 44_100).isnan().all()


def test_a_pitch_that_moved_is_told_by_others_than_the_encoder_and_a_lost_one_is_an_octave():
    factors = draw(torch.arange(6), 3, ("bass",))
    plain, higher = (
        synthesise(factors.set(pitch=factors.pitch[:, 0] * 2 ** (semitones / 12)), 44_100, 0.6) for semitones in (0, 3)
    )
    pitch = certain_pitch(plain, 44_100)
    assert (tracked_pitch_error(pitch, higher, 44_100) - 3).abs().median() < 0.2
    assert (tracked_pitch_error(pitch, torch.randn_like(plain), 44_100) == 12).all()
    assert tracked_pitch_error(certain_pitch(torch.randn_like(plain), 44_100), plain, 44_100).isnan().all()


def test_the_sentences_of_a_report_say_what_was_measured():
    rows = [
        {"sounds": name, "Fréchet ↓": {"value": v}}
        for name, v in (("real, held out", 0.5), ("new, spline prior", 5.0), ("noise", 239.0))
    ]
    back = [
        {"held-out sounds against": name, "log-mel, dB": {"value": dB}, "pitch, semitones": {"value": pitch}}
        for name, dB, pitch in (("their reconstructions", 1.3, 0.6), ("another real sound", 14.6, 11.0))
    ]
    table = SimpleNamespace(label=["kick", "tom", ""])
    store = SimpleNamespace(table=table, split=lambda name: range(1234))
    first, second, third = summary_sentences(store, {"generation by mel": rows, "reconstruction": back})
    assert "1,234 sounds of 2 labels" in first and "1.3 dB" in second and "0.6 semitones" in second
    assert "5 from real" in third and "239" in third and "(mel)" in third


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_the_attack_error_sees_what_long_windows_do_not(rate):
    torch.manual_seed(0)
    time = torch.arange(rate // 2) / rate
    x = F.pad(torch.randn(8, rate // 2) * torch.exp(-time / 0.02), (rate // 100, 0))
    kernel = torch.hann_window(round(0.012 * rate))[None, None]
    smeared = F.conv1d((x * torch.randn(1, x.shape[1]).sign())[:, None], kernel / kernel.norm(), padding="same")[:, 0]
    errors = {
        "none": attack_error(x, x, rate),
        "6 dB softer": attack_error(x, x / 2, rate),
        "2 ms late": attack_error(x, x.roll(rate // 500, 1), rate),
        "smeared": attack_error(x, smeared, rate),
        "changed later": attack_error(x, torch.where(torch.arange(x.shape[1]) < 0.06 * rate, x, 0), rate),
    }
    assert errors["none"].max() == 0 and errors["changed later"].max() < 1e-3
    assert (errors["6 dB softer"] - 6.02).abs().max() < 0.5 and errors["2 ms late"].min() > 3
    assert errors["smeared"].min() > 5


def test_a_hiss_after_the_end_is_measured_and_a_sound_without_an_end_is_not():
    rate = 44_100
    x = torch.zeros(4, rate)
    x[:3, : rate // 2] = torch.rand(3, rate // 2) - 0.5
    x[3] = torch.rand(rate) - 0.5
    hiss = torch.randn(rate) * 10 ** (-54 / 20) * x[0].abs().max()
    y = x.clone()
    y[0] += hiss
    y[1] += hiss * (torch.arange(rate) < 0.515 * rate)  # gone 15 ms after the end
    level = level_after_end(x, y, rate)
    assert level[0] == pytest.approx(-54, abs=1) and level[1] == level[2] == -120 and level[3].isnan()
    assert level_after_end(torch.zeros(1, rate), y[:1], rate).isnan().all()
    assert level_after_end(x[3:, :44], y[3:, :44], rate).isnan().all(), "shorter than what is looked at"


@pytest.mark.parametrize("milliseconds", [1, 10, 500])
def test_the_attack_error_of_a_short_sound_is_not_thinned_by_silence(milliseconds):
    torch.manual_seed(0)
    x = torch.randn(4, 44 * milliseconds)
    assert (attack_error(x, x / 2, 44_100) - 6.02).abs().max() < 0.6
    click = torch.zeros(1, 4410)
    click[0, -1] = 1
    assert attack_error(click, 0 * click, 44_100) > 20


@pytest.mark.parametrize("content", ["nothing", "a config alone"])
def test_a_folder_without_an_audio_transformer_is_refused_in_a_line(content, tmp_path):
    if content == "a config alone":
        (tmp_path / "config.json").write_text('{"model_type": "data2vec-audio"}')
        with pytest.raises(Refused, match="holds no audio transformer"):
            audio_transformer(tmp_path)
    else:
        with pytest.raises(Refused, match="name the folder of one"):
            parse_embeddings(f"mel, transformer:{tmp_path}")
