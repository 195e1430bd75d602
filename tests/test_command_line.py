"The command line: what it refuses, what it leaves behind, and what it does not repeat."

import json
import re
import shutil

import pytest
import soundfile
from conftest import samplevae

from samplevae.experiments import read_experiment
from samplevae.runs import Run
from samplevae.settings import Refused, STAGES


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--set", "latnt=3"], "did you mean 'latent'"),
        (["--set", "latent=three"], "takes a whole number"),
        (["--set", "latent=0"], "must be at least 1"),
        (["--set", "seed=99999999999"], "must be at most"),
        (["--set", "latent"], "NAME=VALUE"),
        (["--preset", "smokey"], "did you mean 'smoke'"),
        (["--data", "nowhere"], "there is no folder"),
        (["--set", "kinds=kik"], "did you mean 'kick'"),
        (["--set", "device=cuda:77"], "no device"),
    ],
)
def test_what_cannot_be_met_is_refused_in_one_line_and_nothing_is_written(arguments, says, tmp_path):
    done = samplevae("run", "--preset", "smoke", "--out", "new", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_hold_a_run(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("everything")
    (tmp_path / "silent").mkdir()
    for out, says in ("file", "is a file"), ("full", "holds other files"), ("file/inside", "cannot write"):
        done = samplevae("run", "--preset", "smoke", "--out", tmp_path / out)
        assert done.returncode == 2 and says in done.stderr
    assert (tmp_path / "full/thesis.tex").read_text() == "everything"
    done = samplevae("run", "--preset", "smoke", "--data", tmp_path / "silent", "--out", tmp_path / "out")
    assert done.returncode == 2 and "no sounds" in done.stderr and not (tmp_path / "out").exists()


def test_a_run_leaves_everything_in_its_folder(smoke_run):
    names = {path.name for path in smoke_run.iterdir()}
    assert {
        "config.json",
        "manifest.json",
        "metrics.json",
        "report.html",
        "notebooks",
        "vae",
        "prior",
        "sounds",
    } <= names
    assert sorted(p.stem for p in (smoke_run / "notebooks").iterdir()) == [
        "03_dataset",
        "11_training",
        "12_prior",
        "15_evaluation",
    ]
    manifest = json.loads((smoke_run / "manifest.json").read_text())
    for stage in STAGES:
        assert {"commit", "seed", "versions", "hardware", "seconds", "begun"} <= manifest[stage].keys()
    rate = json.loads((smoke_run / "config.json").read_text())["sample_rate"]
    waves = list((smoke_run / "sounds").rglob("*.wav"))
    assert len(waves) >= 24
    for wave in waves:
        sound, sound_rate = soundfile.read(wave)
        assert sound_rate == rate and len(sound) == rate // 4 and abs(sound).max() > 1e-3


def test_a_finished_run_is_not_run_again(smoke_run):
    before = {path: path.stat().st_mtime_ns for path in smoke_run.rglob("*.*")}
    done = samplevae("run", "--preset", "smoke", "--out", smoke_run)
    assert done.returncode == 0 and "1/4" not in done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["sounds", "report", "next"]
    after = {path: path.stat().st_mtime_ns for path in smoke_run.rglob("*.*")}
    assert {path.name for path in after if after[path] != before.get(path)} <= {"config.json", ".lock"}


def test_other_settings_are_refused_and_fresh_repeats_just_what_depends_on_them(smoke_run, tmp_path):
    copy = shutil.copytree(smoke_run, tmp_path / "copy")
    weights = (copy / "vae/model.safetensors").stat().st_mtime_ns
    done = samplevae("run", "--preset", "smoke", "--out", copy, "--set", "prior_steps=4")
    assert done.returncode == 2 and "prior_steps 5 (now 4)" in done.stderr and "--fresh" in done.stderr
    assert open_run(copy).finished("evaluate"), "nothing lost"
    done = samplevae("run", "--preset", "smoke", "--out", copy, "--set", "prior_steps=4", "--fresh")
    assert done.returncode == 0, done.stderr
    assert "train" not in done.stderr and "3/4 prior" in done.stderr and "4/4 evaluate" in done.stderr
    assert (copy / "vae/model.safetensors").stat().st_mtime_ns == weights


def test_show_says_the_numbers_and_the_places(smoke_run):
    done = samplevae("show", smoke_run)
    assert done.returncode == 0
    for word in (
        "preset smoke",
        "evaluate done",
        "real, held out",
        "new, flow prior",
        "spectral distance",
        "report.html",
    ):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "needs a table 'runs'"),
        (b"runs: {}", "needs a table 'runs'"),
        (b"runs: {a: 3}", "run 'a'"),
        (b"common: [1]\nruns: {a: {}}", "a table of names and values is needed"),
        (b"runs: {a: {preset: [smoke]}}", "did you mean 'smoke'"),
        (b"runs: {a: {}, b: {latnt: 3}}", "run 'b': unknown setting 'latnt': did you mean 'latent'"),
        (b"runs: {a: {latent: 3}, a: {latent: 4}}", "'a' is there twice"),
        (b"runs: {../a: {}}", "cannot be called '../a'"),
        (b"\xff\xfe\x00", "not good YAML"),
    ],
)
def test_a_table_of_runs_that_makes_no_sense_is_refused(text, says, tmp_path):
    (tmp_path / "x.yaml").write_bytes(text)
    with pytest.raises(Refused, match=re.escape(says)):
        read_experiment(tmp_path / "x.yaml")
