"The command line: what it refuses, what it repeats, and what it goes on with."

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import soundfile
import torch
from conftest import samplevae

from samplevae.runs import STAGES, Run
from samplevae.synthesis import draw, synthesise


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--set", "latnt=3"], "did you mean 'latent'"),
        (["--set", "latent=three"], "takes a whole number"),
        (["--set", "latent=0"], "must be at least 1"),
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
    assert [p.name for p in after if after[p] != before.get(p)] in (
        [],
        ["config.json"],
        [".lock"],
        ["config.json", ".lock"],
    )


def test_other_settings_are_refused_and_fresh_repeats_just_what_depends_on_them(smoke_run, tmp_path):
    copy = shutil.copytree(smoke_run, tmp_path / "copy")
    weights = (copy / "vae/model.safetensors").stat().st_mtime_ns
    done = samplevae("run", "--preset", "smoke", "--out", copy, "--set", "prior_steps=4")
    assert done.returncode == 2 and "prior_steps 5 (now 4)" in done.stderr and "--fresh" in done.stderr
    assert Run.open(copy).finished("evaluate"), "nothing lost"
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


LONG = ["--set", "steps=400", "--set", "save_every=0"]


def begin(out, environment):
    "Start a run in a process group of its own and wait until it has saved something."
    command = [sys.executable, "-c", "import sys; from samplevae.cli import main; sys.exit(main())"]
    arguments = ["run", "--preset", "smoke", "--out", str(out), *LONG]
    process = subprocess.Popen(
        command + arguments, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment
    )
    until = time.time() + 120
    while not (out / "checkpoint.safetensors").exists():
        assert process.poll() is None and time.time() < until, process.stderr.read()
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_a_run_that_was_stopped_goes_on(how, tmp_path, environment):
    out = tmp_path / "run"
    process = begin(out, environment)
    time.sleep(1)
    stopped = time.time()
    os.killpg(process.pid, how)
    process.wait(timeout=30)
    assert time.time() - stopped < 10
    if how == signal.SIGINT:
        assert process.returncode == 130 and "goes on from here" in process.stderr.read()
    time.sleep(2)  # an orphaned kernel notices within a second
    done_before = len((out / "train.jsonl").read_text().splitlines())
    assert 0 < done_before < 400
    done = samplevae("run", "--preset", "smoke", "--out", out, *LONG)
    assert done.returncode == 0, done.stderr
    assert "1/4" not in done.stderr and "2/4" in done.stderr
    steps = [json.loads(line)["step"] for line in (out / "train.jsonl").read_text().splitlines()]
    assert steps == list(range(400))
    copy = (out / "notebooks/11_training.ipynb").read_text()
    assert " 400/400 " in copy


def test_a_stage_that_fails_says_where_and_keeps_what_was_finished(tmp_path):
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for number in range(3):
        (sounds / f"{number}.wav").write_text("no sound at all")
    done = samplevae("run", "--preset", "smoke", "--data", sounds, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "none of the 3 files" in done.stderr and "notebooks/03_dataset.ipynb" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_processes_do_not_share_a_folder(tmp_path, environment):
    process = begin(tmp_path / "run", environment)
    done = samplevae("run", "--preset", "smoke", "--out", tmp_path / "run", *LONG)
    os.killpg(process.pid, signal.SIGKILL)
    assert done.returncode == 2 and "another process" in done.stderr


def test_a_folder_of_sounds_of_all_sorts(tmp_path):
    sounds = tmp_path / "my sounds"
    sounds.mkdir()
    torch.manual_seed(0)
    for number, wave in enumerate(synthesise(draw(torch.arange(30)), 44_100, 0.3)):
        rate = (8_000, 44_100, 96_000)[number % 3]
        stereo = torch.stack([wave, 0.3 * wave], 1)[:: number % 2 + 1]
        soundfile.write(sounds / f"{number}{('.wav', '.flac', '.aiff')[number % 3]}", stereo.numpy(), rate)
    done = samplevae("run", "--preset", "smoke", "--data", sounds, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    (sounds / "new.wav").write_bytes((sounds / "0.wav").read_bytes())
    done = samplevae("run", "--preset", "smoke", "--data", sounds, "--out", tmp_path / "out")
    assert done.returncode == 2 and "other files" in done.stderr


def test_a_batch_does_its_runs_and_one_that_fails_stops_no_other(tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/0.wav").write_text("nothing")
    rows = "a: {}\n  broken: {data: bad}\n  b: {latent: 4}"
    (tmp_path / "two.yaml").write_text(f"out: many\ncommon: {{preset: smoke}}\nruns:\n  {rows}\n")
    done = samplevae("batch", "two.yaml", cwd=tmp_path)
    assert done.returncode == 1 and "2 of 3 runs are done" in done.stdout
    assert Run.open(tmp_path / "many/a").finished("evaluate") and Run.open(tmp_path / "many/b").config.latent == 4
