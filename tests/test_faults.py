"What happens when something goes wrong: kills, faults, bad folders, and rows of a table that fail."

import copy
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import soundfile
import torch
from conftest import samplevae

from samplevae.batches import Experiment, run_batch
from samplevae.comparison import ScoredRunConfig, reference_store
from samplevae.config import Config, open_run
from samplevae.factors import draw
from samplevae.files import folder_fingerprint
from samplevae.metrics import frechet
from samplevae.runs import Run, is_run
from samplevae.scores import maestro_source
from samplevae.settings import STAGES, LazyModule, Refused
from samplevae.sources import nsynth_source, synthesis_source
from samplevae.store import Store
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
    assert " 80/80 " in (out / "notebooks/36_training.ipynb").read_text()


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
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_batch_does_its_runs_and_one_that_fails_stops_no_other(tmp_path, jobs):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/0.wav").write_text("nothing")
    rows = "broken: {data: bad}\n  good: {latent: 4}"
    (tmp_path / "two.yaml").write_text(f"out: many\ncommon: {{preset: smoke}}\nruns:\n  {rows}\n")
    done = samplevae("batch", "two.yaml", "--jobs", jobs, cwd=tmp_path)
    assert done.returncode == 1 and "1 of 2 runs are done" in done.stdout and "broken: " in done.stderr
    run = open_run(tmp_path / "many/good")
    assert run.finished("evaluate") and run.config.latent == 4


def test_a_damaged_run_is_refused_in_one_line(smoke_run, tmp_path, command):
    for name in "config.json", "manifest.json":
        copy = shutil.copytree(smoke_run, tmp_path / name)
        for content in "", "{", "null", "[1]":
            (copy / name).write_text(content)
            done = command("run", "--preset", "smoke", "--out", copy)
            assert done.returncode == 2 and "is damaged" in done.stderr and len(done.stderr.splitlines()) == 1


def test_what_is_not_whole_is_refused_in_one_line(tmp_path):
    "Stores cut short or of other rows, NSynth without its fields, a list of pieces without its columns."
    whole = Store.prepare(synthesis_source(40), tmp_path / "whole", 16_000, 0.1).path
    for file in "report.json", "clips.parquet", "clips.npy":
        broken = shutil.copytree(whole, tmp_path / file)
        content = (broken / file).read_bytes()
        (broken / file).write_bytes(content[: len(content) // 2])
        with pytest.raises(Refused, match="damaged"):
            Store.open(broken)
    (tmp_path / "nsynth-test").mkdir()
    for content in '{"bass_001": {}}', "[1]", "{":
        (tmp_path / "nsynth-test/examples.json").write_text(content)
        with pytest.raises(Refused, match="examples.json"):
            nsynth_source(tmp_path)
    (tmp_path / "maestro-v3.0.0.csv").write_text("a,b\n1,2\n")
    with pytest.raises(Refused, match="cannot read"):
        maestro_source(tmp_path)


def test_a_run_goes_neither_among_its_sounds_nor_over_a_comparison(tmp_path, command):
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    soundfile.write(sounds / "one.wav", synthesise(draw(torch.arange(1)), 16_000, 0.25)[0].numpy(), 16_000)
    done = command("run", "--preset", "smoke", "--data", sounds, "--out", sounds / "run")
    assert done.returncode == 2 and "among the sounds" in done.stderr and not (sounds / "run").exists()
    (tmp_path / "compared").mkdir()
    for name in "config.json", "compared.json":
        (tmp_path / f"compared/{name}").write_text("{}")
    done = command("run", "--preset", "smoke", "--out", tmp_path / "compared", "--fresh")
    assert done.returncode == 2 and "holds other files" in done.stderr


def test_a_folder_with_settings_of_others_is_a_folder_of_sounds(tmp_path):
    (tmp_path / "config.json").write_text('{"theme": "dark"}')
    assert not is_run(tmp_path) and reference_store(tmp_path, ScoredRunConfig())[1] is None


def test_a_batch_goes_on_after_a_full_disk(tmp_path, monkeypatch):
    seen = []

    def fail_once(path, config, fresh):
        seen.append(path.name)
        if len(seen) == 1:
            raise OSError(28, "No space left on device", "weights")

    monkeypatch.setattr("samplevae.batches.execute_run", fail_once)
    configs = dict.fromkeys(["first", "second"], Config.preset("smoke"))
    assert [*run_batch(Experiment(tmp_path, configs))] == ["first"] and seen == ["first", "second"]


def test_a_sound_that_does_not_fit_on_the_disk_says_so(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise soundfile.LibsndfileError(2)

    monkeypatch.setattr(soundfile, "write", fail)
    with pytest.raises(OSError, match="could not write"):
        Run(tmp_path, Config.preset("smoke")).save_sound("one", np.zeros(9))


def test_weights_that_are_missing_are_missed_before_any_work(tmp_path, command, monkeypatch):
    def refuse(name):
        raise Refused(f"there is no CLAP {name}")

    monkeypatch.setattr("samplevae.clap.find_clap_checkpoint", refuse)
    done = command("run", "--preset", "smoke", "--out", tmp_path / "run", "--set", "embedding=clap")
    assert done.returncode == 2 and "no CLAP music" in done.stderr and not (tmp_path / "run").exists()


def test_scores_and_lazy_modules_are_copied():
    score = frechet(*np.random.default_rng(0).normal(size=(2, 50, 3)), repeats=5)
    for twin in copy.deepcopy(score), pickle.loads(pickle.dumps(score)):
        assert (twin, twin.low, twin.counts) == (score, score.low, score.counts)
    assert copy.copy(LazyModule("math")).pi > 3


def test_a_copied_folder_is_the_same_folder_and_a_changed_byte_is_not(tmp_path):
    (tmp_path / "here" / "kicks").mkdir(parents=True)
    sound = tmp_path / "here" / "kicks" / "one.wav"
    sound.write_bytes(bytes(range(200)) * 20)
    (tmp_path / "here" / "gone.wav").symlink_to("nowhere")
    before = folder_fingerprint(str(tmp_path / "here"))
    shutil.copytree(tmp_path / "here", tmp_path / "there", symlinks=True, copy_function=shutil.copy)
    assert folder_fingerprint(str(tmp_path / "there")) == before != ""
    times, content = sound.stat(), sound.read_bytes()
    sound.write_bytes(content[:-1] + b"!")
    os.utime(sound, ns=(times.st_atime_ns, times.st_mtime_ns))
    changed = folder_fingerprint(str(tmp_path / "here"))
    sound.write_bytes(content)
    sound.rename(sound.with_name("two.wav"))
    assert len({before, changed, folder_fingerprint(str(tmp_path / "here"))}) == 3


@pytest.mark.long
def test_the_runs_of_a_batch_that_is_killed_stop_and_are_gone_on_with(tmp_path):
    rows = "{seed: [1, 2]}"
    (tmp_path / "two.yaml").write_text(f"out: many\ncommon: {{preset: smoke, steps: 3000}}\ngrid: {rows}\n")
    command = [sys.executable, "-m", "samplevae.cli", "batch", "two.yaml", "--jobs", "2"]
    batch = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True)
    runs, until = [tmp_path / f"many/seed={seed}" for seed in (1, 2)], time.time() + 300
    while not all((run / "train.jsonl").exists() for run in runs):
        assert batch.poll() is None and time.time() < until
        time.sleep(0.2)
    begun = psutil.Process(batch.pid).children(recursive=True)
    assert len(begun) >= 2
    batch.kill()
    assert not psutil.wait_procs(begun, timeout=60)[1], "none works on unseen"
    for run in runs:
        assert has_saved(run) and not open_run(run).finished("train")
        with open_run(run).lock():
            pass
