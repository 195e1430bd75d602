"Systems of others, in small: each learns for a few steps, makes sounds, and says what it cannot do."

import json
import math
import re
import sys
from functools import partial

import numpy as np
import pytest
import torch
from conftest import CLONE

from samplevae.baseline import Baseline, Clock, Diverged
from samplevae.baseline_runs import (
    BASELINES,
    BaselineConfig,
    begin_experiment,
    config_from_file,
    kept_row,
    load_baseline,
    run_training,
    train_all,
)
from samplevae.baseline_scores import yardsticks
from samplevae.config import Config
from samplevae.dataset import prepare_store
from samplevae.later_embeddings import add_to_baselines
from samplevae.monitoring import held_out
from samplevae.runs import Run
from samplevae.settings import Refused
from samplevae.tested_systems import common_items, gather_stimuli, open_systems, read_kept_sounds


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    "Synthesised drums: 96 of half a second."
    config = Config.preset("smoke", num_clips=96, seconds=0.5, sample_rate=22050)
    return prepare_store(Run(tmp_path_factory.mktemp("run"), config))


def small(name, store, seed=0):
    "A system that is not trained."
    torch.manual_seed(seed)
    return load_baseline(name).for_store(store)


@pytest.mark.long
@pytest.mark.parametrize("name", BASELINES)
def test_a_few_steps_then_sounds_of_the_right_length_the_same_for_the_same_seed(name, store):
    system = small(name, store)
    system.batch_size = min(system.batch_size, 10)
    before = [weight.detach().clone() for weight in system.parameters()]
    assert system.fit(store, minutes=1.0, most_steps=3) is system and not system.training
    assert system.done == (3 if system.optimizers else 1) and 0 < system.minutes and len(system.curve) == system.done
    if system.optimizers:
        assert any(not torch.equal(a, b) for a, b in zip(before, system.parameters(), strict=False)), "it has learned"
    assert system.paper and system.simplified and system.reconstructs + system.generates
    shape = (3, store.clips.shape[1])
    if system.reconstructs:
        x = store.sounds(slice(3))
        y = system.reconstruct(x)
        assert y.shape == shape and y.isfinite().all() and y.abs().max() <= 1
        assert torch.equal(y, system.reconstruct(x))
    if system.generates:
        y, again, other = (system.generate(3, seed=seed) for seed in (1, 1, 2))
        assert y.shape == shape and y.isfinite().all() and y.abs().max() <= 1
        assert torch.equal(y, again) and not torch.equal(y, other)
        if system.by_label:
            assert system.generate(2, label="kick").shape[0] == 2
        if system.by_pitch:
            low, high = (system.generate(2, pitch=pitch) for pitch in (100.0, 200.0))
            assert not torch.equal(low, high)


def test_what_cannot_be_done_is_refused(store):
    nearest = small("nearest", store).fit(store, 0.01)
    for wanted, text in (
        ({"label": "kik"}, "did you mean 'kick'"),
        ({"pitch": 100.0}, "takes none"),
        ({"n": 0}, "from 1"),
    ):
        with pytest.raises(Refused, match=text):
            nearest.generate(**{"n": 1} | wanted)
    with pytest.raises(Refused, match="there are untrained, nearest"):
        load_baseline("wavgan")
    with pytest.raises(Refused, match="does not generate"):
        small("melgan", store).generate(1)
    with pytest.raises(Refused, match="no way from a sound"):
        small("wavegan", store).reconstruct(store.sounds(slice(2)))


class Exploding(Baseline):
    "Its loss is no number in the third step."

    def build(self):
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def loss(self, x, labels):
        return self.weight.sum() * (math.nan if self.done == 2 else 1.0)


def test_a_loss_that_is_no_number_ends_a_training(store):
    system = Exploding.for_store(store)
    with pytest.raises(Diverged, match="Exploding diverged in step 3: its loss is nan"):
        system.fit(store, 1.0)
    assert len(system.curve) == 2, "what was learned before stays"


def test_a_budget_too_small_for_one_step_takes_one(store):
    class Still(Exploding):
        def loss(self, x, labels):
            return self.weight.sum()

    assert Still.for_store(store).fit(store, 1e-9).done == 1


def test_the_clock_leaves_out_what_is_measured():
    clock = Clock(1.0)
    with clock.paused():
        sum(i * i for i in range(3_000_000))
    assert clock.spent() < 0.002
    assert Clock(1.0, 10).share(5) >= 0.5


def test_each_system_has_a_chapter():
    chapters = "".join(path.read_text() for path in (CLONE / "nbs/baselines").glob("*.ipynb"))
    for name in BASELINES:
        assert f'show_baseline(\\"{name}\\")' in chapters, name


ALL = {"most_steps": 2, "most_sounds": 24, "seconds": 0.4, "sample_rate": 16_000, "num_clips": 240, "kinds": "drums"}


@pytest.mark.long
def test_an_experiment_goes_on_where_it_was_and_takes_another_embedding_later(tmp_path, command, monkeypatch):
    file, out = tmp_path / "some.yaml", tmp_path / "out"
    file.write_text("minutes: 1\nseeds: '1'\nbaselines: nearest, ddsp, wavegan\n")
    options = [f"--set={name}={value}" for name, value in ALL.items()]
    monkeypatch.setattr("samplevae.baseline_scores.find_aisfx_checkpoint", lambda: None)
    monkeypatch.setattr("samplevae.cli.run_chapter", lambda experiment: None)
    done = command("baselines", file, "--out", out, *options)
    rows = {row["baseline"]: row for row in json.loads((out / "baselines.json").read_text())["rows"]}
    assert done.returncode == 0 and "report" in done.stdout
    assert {*rows} == {"real, held out", "noise", "nearest", "ddsp", "wavegan"}
    assert (out / "table.csv").exists() and "Fréchet, mel" in done.stdout and "ddsp, seed 1: 2 steps" in done.stderr
    assert len([*(out / "nearest,seed=1/sounds").glob("new-*.wav")]) == 10
    assert rows["nearest"]["copies"] > 0.3 > rows["wavegan"]["copies"] == 0, "what copies is found out"
    assert rows["nearest"]["memorised"]["value"] > 0.8
    assert rows["nearest"]["nearest to their own"]["value"] < 1 and rows["ddsp"]["steps"] == 2
    assert "Fréchet, mel" in rows["wavegan"] and "spectral distance" not in rows["wavegan"]
    assert rows["real, held out"]["Fréchet, mel"] < rows["wavegan"]["Fréchet, mel"]
    assert rows["ddsp"]["curve"] and (out / "baselines/ddsp.png").exists()
    kept = (out / "wavegan,seed=1/row.json").stat().st_mtime_ns
    assert command("baselines", file, "--out", out, *options).returncode == 0
    assert (out / "wavegan,seed=1/row.json").stat().st_mtime_ns == kept, "what is measured is not trained again"
    shown = command("show", out).stdout
    assert "nearest" in shown and "Fréchet, mel" in shown and str(out / "table.csv") in shown
    monkeypatch.setattr("samplevae.baseline_runs.code_of", lambda name: "other code")
    assert "delete" in command("baselines", file, "--out", out, *options).stderr, "a system was changed since"
    again = tmp_path / "again.json"
    again.write_text((out / "baselines.json").read_text())
    store = prepare_store(Run(out, BaselineConfig(**ALL)))
    later = {row["baseline"]: row for row in add_to_baselines(out, again, "drumnet")}
    assert later["wavegan"]["Fréchet, drumnet"] == pytest.approx(rows["wavegan"]["Fréchet, drumnet"], rel=1e-3)
    assert later["ddsp"].get("Fréchet, drumnet") is None, "it generates nothing"
    with pytest.raises(Refused, match="at least one embedding"):
        add_to_baselines(out, again, "")
    listen_to_baselines(out, store, tmp_path)


def listen_to_baselines(out, store, tmp_path):
    "A listening test of baselines is made of the sounds that were measured."
    tested = open_systems([out / "nearest,seed=1", out / "wavegan,seed=1"], "", tmp_path / "a")
    items = common_items(tested, 8, 0)
    stimuli, _ = gather_stimuli(tested, items, False, 0)
    systems = {"real", "low anchor", "nearest, seed 1, reconstructed", "nearest, seed 1, new", "wavegan, seed 1, new"}
    assert {one.system for one in stimuli} == systems
    kept = read_kept_sounds(out / "nearest,seed=1/sounds.npz")[0]["back"]
    held = held_out(store).sample(24)
    for content, wave in zip(items.table.content, tested[0].reconstruct(items), strict=True):
        assert torch.equal(wave, kept[[*held.table.content].index(content)])
    assert not {*items.table.content} & {*store.split("train").table.content}
    with pytest.raises(Refused, match="wavegan, seed 1 brings no sounds back"):
        gather_stimuli(tested, items, True, 0)
    with pytest.raises(Refused, match="several baselines"):
        open_systems([out], "", tmp_path / "a")
    place = out / "wavegan,seed=1/sounds.npz"
    parts = dict(np.load(place))
    np.savez(place, **parts | {"new": parts["new"][:, :50]})
    with pytest.raises(Refused, match="other settings"):
        open_systems([place.parent], "", tmp_path / "a")
    np.savez(place, **parts | {"new": parts["new"][:3]})
    with pytest.raises(Refused, match="is damaged"):
        open_systems([place.parent], "", tmp_path / "a")
    place.write_bytes(b"PK half an archive")
    with pytest.raises(Refused, match="is damaged"):
        open_systems([place.parent], "", tmp_path / "a")


OWN = """
from torch import nn, zeros
from samplevae.baseline import Baseline

class MeanSound(Baseline):
    reconstructs = True

    def build(self):
        self.wave = nn.Parameter(zeros(self.own_length))

    def loss(self, x, labels):
        return (x - self.wave).square().mean()

    def autoencode(self, x):
        return self.wave.expand_as(x)

class Half(MeanSound):
    loss = Baseline.loss

class Exits(MeanSound):
    def loss(self, x, labels):
        raise SystemExit(5)

class Short(MeanSound):
    def autoencode(self, x):
        return self.wave[None, :100]

class Silent(MeanSound):
    def autoencode(self, x):
        return x + float("nan")

class Dies(MeanSound):
    def loss(self, x, labels):
        import os
        os._exit(1)

class Forgets(Baseline):
    pass
"""


def test_a_system_of_ones_own_is_named_by_its_place(store, tmp_path, monkeypatch):
    (tmp_path / "own_system.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    config = BaselineConfig(most_steps=3, most_sounds=16, baselines="own_system:MeanSound, own_system:Half")
    rows = [run_training(config, store, tmp_path, "these", training) for training in config.trainings()]
    assert rows[0]["steps"] == 3 and "failed" not in rows[0]
    assert kept_row(tmp_path / "own_system:MeanSound,seed=1", "these", "own_system:MeanSound")[1] == "kept"
    assert rows[1]["failed"] == "NotImplementedError"
    assert "in loss" in (tmp_path / "own_system:Half,seed=1/error.txt").read_text()
    for kind, why in ("Exits", "SystemExit: 5"), ("Short", r"Short gave \(1, 100\), not"), ("Silent", "not finite"):
        row = run_training(config, store, tmp_path, "these", (f"own_system:{kind}", 1))
        assert re.search(why, row["failed"]), row
    (tmp_path / "broken_system.py").write_text("def (")
    for name in (
        "own_system:Other",
        "nowhere:Other",
        "json:dumps",
        "own_system:Forgets",
        "broken_system:A",
        ".x:A",
        ":A",
    ):
        with pytest.raises(Refused, match="no baseline|no kind"):
            load_baseline(name)


@pytest.mark.long
def test_a_process_that_dies_is_named_and_the_others_go_on(store, tmp_path, monkeypatch):
    (tmp_path / "own_system.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path, str(tmp_path)])
    config = BaselineConfig(most_steps=2, most_sounds=16, baselines="own_system:Dies, nearest")
    work = partial(run_training, config, store, tmp_path, "these")
    rows = {row["baseline"]: row for row in train_all(work, config.trainings(), 2)}
    assert "was killed" in rows["own_system:Dies"]["failed"] and rows["nearest"]["steps"] == 1


def test_rows_of_other_sounds_are_not_replaced_unasked(store, tmp_path):
    results, run = tmp_path / "b.json", Run(tmp_path, BaselineConfig(num_clips=96, seconds=0.5, sample_rate=22050))
    about = begin_experiment(run, results, False)[1]
    row = {"baseline": "nearest", "seed": 1}
    results.write_text(json.dumps(about | {"rows": [row]}))
    assert begin_experiment(run, results, False)[2] == {("nearest", 1): row}
    results.write_text(json.dumps(about | {"settings": "others", "rows": [row]}))
    with pytest.raises(Refused, match="--fresh"):
        begin_experiment(run, results, False)
    assert begin_experiment(run, results, True)[2] == {}
    for damaged in '{"rows": null}', '{"rows": [1]}', '{"rows": [{}]}', "[1]", "3":
        results.write_text(damaged)
        with pytest.raises(Refused, match="is damaged"):
            begin_experiment(run, results, True)
    for damaged in "{}", '{"settings": "s", "row": [1]}', '{"settings": "s", "row": {"baseline": "nearest"}}', "half":
        (tmp_path / "row.json").write_text(damaged)
        assert kept_row(tmp_path, "s", "nearest") == (None, "")


def test_what_is_refused_leaves_no_folder(tmp_path, command):
    file = tmp_path / "some.yaml"
    file.write_text("baselines: [nearest, untrained]")
    done = command("baselines", file, "--data", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert done.returncode == 2 and "no folder" in done.stderr and not (tmp_path / "out").exists()
    config, out = config_from_file(file, {"baselines": ["nearest", "untrained"]}, {}, "sounds/mine/")
    assert config.baselines == "nearest, untrained" and config.data == "sounds/mine" and out == "outputs/some-mine"


def test_real_sounds_at_a_lower_rate_have_nothing_above(store):
    sets = yardsticks(held_out(store))
    assert {*sets} == {"real, held out", "real, at 16 kHz", "noise"}, "the store has 22,050 Hz"
    real, lower = (torch.fft.rfft(sets[name]).abs().square().sum(0) for name in ("real, held out", "real, at 16 kHz"))
    high = len(real) * 9 // 11
    assert lower[high:].sum() < 1e-3 * real[high:].sum() and sets["real, at 16 kHz"].shape == sets["noise"].shape


def test_a_system_that_fails_leaves_a_line(store, tmp_path, monkeypatch):
    monkeypatch.setattr("samplevae.baseline_runs.load_baseline", lambda name: Exploding)
    config = BaselineConfig(most_steps=5, baselines="wavegan")
    row = run_training(config, store, tmp_path, "these", ("wavegan", 1))
    assert row["failed"] == "Exploding diverged in step 3: its loss is nan"
    assert not (tmp_path / "wavegan,seed=1/row.json").exists(), "it is tried again the next time"


@pytest.mark.parametrize(
    "content, text",
    [
        ("baselines: wavgan", "there are untrained, nearest"),
        ("seeds: one", "takes whole numbers"),
        ("minuts: 3", "did you mean 'minutes'"),
        ("minutes: 0", "minutes"),
        ("- 3", "needs names and values"),
        ("num_clips: 20", "32 sounds to train on"),
    ],
)
def test_what_a_file_cannot_ask_for_is_refused_in_a_line(content, text, tmp_path, command):
    file = tmp_path / "some.yaml"
    file.write_text(content)
    done = command("baselines", file, "--out", tmp_path / "out", "--set", "seconds=0.3")
    assert done.returncode == 2 and text in done.stderr.splitlines()[-1], done.stderr
