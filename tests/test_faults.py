"What happens when something goes wrong: kills, faults, bad folders, and rows of a table that fail."

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

from samplevae.config import open_run
from samplevae.factors import draw
from samplevae.runs import Run
from samplevae.settings import STAGES
from samplevae.synthesis import synthesise

LONG = ["--set", "steps=80", "--set", "save_every=0"]


def begin(out, environment, ready):
    "Start a run in a process group of its own, and wait until it is `ready()`."
    command = [sys.executable, "-m", "samplevae.cli"]
    arguments = ["run", "--preset", "smoke", "--out", str(out), *LONG]
    process = subprocess.Popen(
        command + arguments,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job ignores Ctrl-C otherwise
    )
    until = time.time() + 600
    while not ready():
        assert process.poll() is None and time.time() < until, process.stderr.read()
        time.sleep(0.05)
    return process


def has_saved(out, steps=0):
    "Whether a run has done more than `steps` and saved them."
    return (out / "checkpoint.safetensors").exists() and len((out / "train.jsonl").read_text().splitlines()) > steps


def stop(process, out, how):
    "Send the whole group a signal, and wait for the kernels too. How many steps are done?"
    os.killpg(process.pid, how)
    process.wait(timeout=600)
    time.sleep(2)  # an orphaned kernel notices within a second
    return len((out / "train.jsonl").read_text().splitlines())


@pytest.mark.long
def test_a_run_that_was_stopped_twice_goes_on(tmp_path, environment):
    out = tmp_path / "run"
    killed = stop(begin(out, environment, lambda: has_saved(out)), out, signal.SIGKILL)
    process = begin(out, environment, lambda: has_saved(out, killed))
    interrupted = stop(process, out, signal.SIGINT)
    assert process.returncode == 130 and "goes on from here" in process.stderr.read()
    assert 0 < killed < interrupted < 80
    done = samplevae("run", "--preset", "smoke", "--out", out, *LONG)
    assert done.returncode == 0, done.stderr
    assert "1/4" not in done.stderr and "2/4" in done.stderr
    rows = [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]
    steps = [row["step"] for row in rows if "spectral_distance" in row]
    assert steps == list(range(80))
    assert " 80/80 " in (out / "notebooks/37_training.ipynb").read_text()


def test_a_stage_that_fails_says_where_and_keeps_what_was_finished(tmp_path):
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for number in range(3):
        (sounds / f"{number}.wav").write_text("no sound at all")
    done = samplevae("run", "--preset", "smoke", "--data", sounds, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "none of the 3 files" in done.stderr and "notebooks/18_dataset.ipynb" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_processes_do_not_share_a_folder(tmp_path, environment, command):
    process = begin(tmp_path / "run", environment, (tmp_path / "run/config.json").exists)
    done = command("run", "--preset", "smoke", "--out", tmp_path / "run", *LONG)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=600)
    assert done.returncode == 2 and "another process" in done.stderr


@pytest.mark.long
def test_a_folder_of_sounds_of_all_sorts(tmp_path):
    sounds = tmp_path / "my {sounds}"
    sounds.mkdir()
    torch.manual_seed(0)
    for number, wave in enumerate(synthesise(draw(torch.arange(30)), 44_100, 0.3)):
        rate = (8_000, 44_100, 96_000)[number % 3]
        stereo = torch.stack([wave, 0.3 * wave], 1)[:: number % 2 + 1]
        soundfile.write(sounds / f"{number}{('.wav', '.flac', '.aiff')[number % 3]}", stereo.numpy(), rate)
        (sounds / f"text {number}.wav").write_text("no sound at all")
    (sounds / "silence.wav").write_bytes((sounds / "0.wav").read_bytes()[:44])
    arguments = "run", "--preset", "smoke", "--data", sounds, "--out", tmp_path / "{out}"
    done = samplevae(*arguments)
    assert done.returncode == 0, done.stderr
    warning = "only 30 of 61 sounds could be used: 30 not a sound, or damaged"
    assert f"WARNING: {warning}" in done.stderr and warning in (tmp_path / "{out}/report.html").read_text()
    (sounds / "new.wav").write_bytes((sounds / "0.wav").read_bytes())
    done = samplevae(*arguments)
    assert done.returncode == 2 and "other files" in done.stderr
    config = open_run(tmp_path / "{out}").config
    assert not any(map(Run.create(tmp_path / "{out}", config, fresh=True).finished, STAGES)), (
        "all depends on the sounds"
    )


@pytest.mark.long
def test_a_batch_does_its_runs_and_one_that_fails_stops_no_other(tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/0.wav").write_text("nothing")
    rows = "broken: {data: bad}\n  good: {latent: 4}"
    (tmp_path / "two.yaml").write_text(f"out: many\ncommon: {{preset: smoke}}\nruns:\n  {rows}\n")
    done = samplevae("batch", "two.yaml", cwd=tmp_path)
    assert done.returncode == 1 and "1 of 2 runs are done" in done.stdout
    run = open_run(tmp_path / "many/good")
    assert run.finished("evaluate") and run.config.latent == 4


def test_a_damaged_run_is_refused_in_one_line(smoke_run, tmp_path, command):
    for name in "config.json", "manifest.json":
        copy = shutil.copytree(smoke_run, tmp_path / name)
        for content in "", "{", "null", "[1]":
            (copy / name).write_text(content)
            done = command("run", "--preset", "smoke", "--out", copy)
            assert done.returncode == 2 and "is damaged" in done.stderr and len(done.stderr.splitlines()) == 1
