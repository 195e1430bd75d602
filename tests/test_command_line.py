"The command line: what it refuses, what it leaves behind, and what it does not repeat."

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import CLONE, samplevae

from samplevae.batches import Experiment, read_experiment, run_batch, same_training
from samplevae.config import Config, open_run
from samplevae.experiments import STAGE_CHAPTERS, is_complete
from samplevae.prior import generate, load
from samplevae.runs import Run
from samplevae.settings import STAGES, Refused
from samplevae.sources import open_source


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
        (["--set", "freeze_encoder=perhaps"], "takes true or false"),
        (["--data", "nsynth:."], "no examples.json"),
        (["--data", ""], "names no folder"),
        (["--set", "data="], "names no folder"),
        (["--set", "preset=cpu"], "given twice"),
        (["--set", "learning_rate=1e38"], "must be at most"),
        (["--set", "free_bits=inf"], "must be at most"),
        (["--set", "free_bits=nan"], "takes a number"),
    ],
)
def test_what_cannot_be_met_is_refused_in_one_line_and_nothing_is_written(
    arguments, says, tmp_path, command, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    done = command("run", "--preset", "smoke", "--out", "new", *arguments)
    assert done.returncode == 2 and says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_without_data_the_synthesiser_is_the_source(monkeypatch, command):
    "As in `make run`."
    asked = []
    monkeypatch.setattr("samplevae.cli.execute_run", lambda out, config, fresh: asked.append((out, config.data)))
    monkeypatch.setattr("samplevae.cli.next_steps", str)
    assert command("run").returncode == 0 and asked == [(Path("outputs/cpu"), "synthesis")]


def test_a_reader_that_has_read_enough_is_no_error(smoke_run):
    program = f"{sys.executable} -m samplevae.cli show {shlex.quote(str(smoke_run))} | head -1"
    done = subprocess.run(program, shell=True, capture_output=True, text=True)
    assert done.stdout and not done.stderr


def test_a_process_of_its_own_refuses_too(tmp_path):
    done = samplevae("run", "--preset", "smoke", "--out", "new", "--set", "latnt=3", cwd=tmp_path)
    assert done.returncode == 2 and "did you mean 'latent'" in done.stderr and len(done.stderr.splitlines()) == 1


def test_an_empty_name_of_a_later_embedding_trains_nothing(tmp_path, command):
    experiment = tmp_path / "experiment.yaml"
    experiment.write_text(f"out: {tmp_path}/out\nruns: {{one: {{preset: smoke}}}}\n")
    done = command("batch", experiment, "--add-embedding", "")
    assert done.returncode == 2 and not list(tmp_path.glob("out/*"))


def test_places_that_cannot_hold_a_run(tmp_path, command):
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("everything")
    (tmp_path / "silent").mkdir()
    for out, says in ("file", "is a file"), ("full", "holds other files"), ("file/inside", "cannot write"):
        done = command("run", "--preset", "smoke", "--out", tmp_path / out)
        assert done.returncode == 2 and says in done.stderr
    assert (tmp_path / "full/thesis.tex").read_text() == "everything"
    done = command("run", "--preset", "smoke", "--data", tmp_path / "silent", "--out", tmp_path / "out")
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
        "18_dataset",
        "36_training",
        "38_prior",
        "47_evaluation",
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


def test_a_finished_run_is_not_run_again(smoke_run, command):
    before = {path: path.stat().st_mtime_ns for path in smoke_run.rglob("*.*")}
    done = command("run", "--preset", "smoke", "--out", smoke_run)
    assert done.returncode == 0 and "1/4" not in done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["sounds", "report", "play", "next"]
    after = {path: path.stat().st_mtime_ns for path in smoke_run.rglob("*.*")}
    assert {path.name for path in after if after[path] != before.get(path)} <= {"config.json", ".lock"}


@pytest.mark.long
def test_other_settings_are_refused_and_fresh_repeats_just_what_depends_on_them(smoke_run, tmp_path, command):
    copy = shutil.copytree(smoke_run, tmp_path / "copy")
    weights = (copy / "vae/model.safetensors").stat().st_mtime_ns
    done = command("run", "--preset", "smoke", "--out", copy, "--set", "prior_steps=4")
    assert done.returncode == 2 and "prior_steps 5 (now 4)" in done.stderr and "--fresh" in done.stderr
    assert open_run(copy).finished("evaluate"), "nothing lost"
    done = samplevae("run", "--preset", "smoke", "--out", copy, "--set", "prior_steps=4", "--fresh")
    assert done.returncode == 0, done.stderr
    assert "train" not in done.stderr and "3/4 prior" in done.stderr and "4/4 evaluate" in done.stderr
    assert (copy / "vae/model.safetensors").stat().st_mtime_ns == weights


def test_a_grid_is_all_combinations_by_name(tmp_path):
    (tmp_path / "grid.yaml").write_text(
        "common: {preset: smoke}\nruns: {own: {}}\ngrid: {latent: [4, 5], seed: [1, 2]}"
    )
    experiment = read_experiment(tmp_path / "grid.yaml", data=str(tmp_path))
    assert [*experiment.configs][:3] == ["own", "latent=4,seed=1", "latent=4,seed=2"] and len(experiment.configs) == 5
    (tmp_path / "own.yaml").write_text("common: {preset: smoke}\nruns: {a: {data: elsewhere}}")
    assert read_experiment(tmp_path / "own.yaml", data=str(tmp_path)).configs["a"].folder == str(tmp_path)
    assert experiment.configs["latent=5,seed=2"].latent == 5 and experiment.configs["own"].folder == str(tmp_path)
    for grid, says in {
        "grid: {latent: 4}": "a list of values for 'latent'",
        "grid: {latent: []}": "a list of values",
        "grid: {latnt: [4]}": "did you mean 'latent'",
        "grid: {seed: [1]}\nchapter: 99_nowhere": "there is no chapter '99_nowhere'",
        "grid: {seed: [1, 1]}": "the grid has 'seed=1' twice",
        "grid: {seed: [1]}\nruns: {seed=1: {seed: 5}}": "both have a run 'seed=1'",
        "runs: {.logs: {}}": "cannot be called '.logs'",
        "out: [a]\nruns: {a: {}}": "takes the path of a folder",
        "runs: {a: {data: [b]}}": "takes the path of a folder",
        "grd: {seed: [1]}\nruns: {a: {}}": "did you mean 'grid'",
        "command: walk\nruns: {a: {}}": "'command' takes run, or train",
    }.items():
        (tmp_path / "grid.yaml").write_text(grid)
        with pytest.raises(Refused, match=says):
            read_experiment(tmp_path / "grid.yaml")


def test_runs_that_differ_after_training_share_it(smoke_run, tmp_path, monkeypatch):
    saved, done = open_run(smoke_run).config, []
    configs = {name: replace(saved, prior=prior) for name, prior in (("a", "spline, normal"), ("b", "normal"))}
    configs["c"] = replace(saved, prior="normal", latent=3)
    experiment = Experiment(tmp_path, configs)
    assert same_training(experiment) == [["a", "b"], ["c"]]

    def execute(path, config, fresh):
        done.append((path.name, Run(path, config).finished("train"), Run(path, config).finished("prior")))
        shutil.copytree(smoke_run, path, dirs_exist_ok=True) if path.name == "a" else None

    monkeypatch.setattr("samplevae.batches.execute_run", execute)
    assert run_batch(experiment) == {}
    assert done == [("a", False, False), ("b", True, False), ("c", False, False)]
    assert (tmp_path / "b/vae/model.safetensors").exists() and open_run(tmp_path / "b").config.prior == "normal"
    assert not is_complete(open_run(tmp_path / "b"), "train"), "its figures are still to be drawn"
    assert [*json.loads((tmp_path / "b/figures/captions.json").read_text())] == ["01-sounds"]


def test_an_experiment_may_train_alone(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr("samplevae.batches.train_in_processes", lambda path, *_: done.append(path.name))
    (tmp_path / "e.yaml").write_text(
        f"out: {tmp_path}\ncommon: {{preset: smoke}}\ngrid: {{seed: [1, 2]}}\ncommand: train"
    )
    assert run_batch(read_experiment(tmp_path / "e.yaml")) == {} and done == ["seed=1", "seed=2"]


def test_a_run_leaves_demonstrations_out(smoke_run):
    for stage, chapter in STAGE_CHAPTERS.items():
        cells, executed = (
            [cell["id"] for cell in json.loads(path.read_text())["cells"] if "demo" in cell["metadata"].get("tags", [])]
            for path in (CLONE / f"nbs/{chapter}.ipynb", smoke_run / f"notebooks/{chapter}.ipynb")
        )
        assert executed == [] and bool(cells) == (stage in ("train", "prior"))


def test_new_sounds_are_written_beside_those_that_are_there(smoke_run, tmp_path, command):
    out, labels = tmp_path / "new", json.loads((smoke_run / "prior/spline.json").read_text())["labels"]
    for _ in range(2):
        assert command("generate", smoke_run, "-n", 2, "--label", labels[0], "--out", out).returncode == 0
    names = sorted(path.name for path in out.iterdir())
    assert names == [f"{labels[0].replace(' ', '-')}-{n:03}.wav" for n in (1, 2, 3, 4)]
    waves = [soundfile.read(out / name)[0] for name in names]
    assert np.array_equal(waves[0], waves[2]) and not np.array_equal(waves[0], waves[1]), "the same for the same seed"
    for arguments, says in {
        ("--label", "hihg"): "there is no label 'hihg'",
        ("--label", "a=b"): "labels with their shares",
        ("--temperature", -1): "temperature must be 0 or more",
        ("--temperature", "1e300"): "temperature must be 0 or more, and at most 100",
        ("-n", 0): "cannot generate 0 sounds",
        ("--prior", "maf"): "there is no maf prior",
        ("--prior", "mfa"): "did you mean 'maf'",
        ("--pitch", -5): "a pitch must be",
        ("--truncation", 2): "truncation must be",
    }.items():
        refused = command("generate", smoke_run, "--out", out, *arguments)
        assert refused.returncode == 2 and says in refused.stderr and len(refused.stderr.strip().splitlines()) == 1
    assert "not the folder of a finished run" in command("generate", tmp_path / "nothing").stderr
    assert len(list(out.iterdir())) == 4


def test_show_says_the_numbers_and_the_places(smoke_run, command):
    done = command("show", smoke_run)
    assert done.returncode == 0
    for word in (
        "preset smoke",
        "evaluate done",
        "real, held out",
        "new, spline prior",
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
        (b"runs: {a: {latent: 3}, a: {latent: 4}}", "found duplicate key"),
        (b"runs: {../a: {}}", "cannot be called '../a'"),
        (b'runs: {"a\\0b": {}}', "cannot be called"),
        (b'runs: {1: {}, "1": {}}', "names 1 twice"),
        (b"\xff\xfe\x00", "not good YAML"),
    ],
)
def test_a_table_of_runs_that_makes_no_sense_is_refused(text, says, tmp_path):
    (tmp_path / "x.yaml").write_bytes(text)
    with pytest.raises(Refused, match=re.escape(says)):
        read_experiment(tmp_path / "x.yaml")


def test_a_new_setting_does_not_spoil_an_old_run(smoke_run, tmp_path):
    "One that the files of a run do not hold counts as its default, for every stage."
    copy = shutil.copytree(smoke_run, tmp_path / "copy")
    for name in "config.json", "manifest.json":
        content = json.loads((copy / name).read_text())
        for settings in [content] if name == "config.json" else [entry["settings"] for entry in content.values()]:
            settings.pop("phase_shuffle", None)
        (copy / name).write_text(json.dumps(content))
    run = open_run(copy)
    assert all(map(run.finished, STAGES)) and not run.differences()
    assert [stage for stage in STAGES if Run(copy, replace(run.config, phase_shuffle=1)).finished(stage)] == ["data"]


def test_a_run_of_an_older_program_is_refused_in_one_line(smoke_run, tmp_path, command):
    copy = shutil.copytree(smoke_run, tmp_path / "copy")
    content = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(content | {"ears": "spectrogram"}))
    for arguments in ["show", copy], ["run", "--preset", "smoke", "--out", copy]:
        done = command(*arguments)
        assert done.returncode == 2 and "was made by another samplevae" in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("kind", ["folder", "nsynth", "synthesis"])
def test_a_source_is_named_and_found(kind, tmp_path):
    (tmp_path / "audio").mkdir()
    soundfile.write(tmp_path / "audio/a.wav", [0.5, -0.5] * 2000, 16_000)
    note = {"instrument_family_str": "bass", "instrument_str": "bass_1", "pitch": 40, "velocity": 100}
    (tmp_path / "examples.json").write_text(json.dumps({"a": note}))
    data = {"folder": str(tmp_path), "nsynth": f"nsynth:{tmp_path}", "synthesis": "synthesis"}[kind]
    config = Config.preset("smoke", data=data)
    source = open_source(config.data, config)
    assert len(source.table) == (config.num_clips if kind == "synthesis" else 1)
    assert bool(config.folder) == (kind != "synthesis")


def test_a_chapter_that_was_cut_short_after_its_stage_writes_the_rest(smoke_run, tmp_path, command):
    "As a full disk or a kill would leave it: the stage is finished, the report is not there."
    out = tmp_path / "run"
    shutil.copytree(smoke_run, out)
    assert command("run", "--preset", "smoke", "--out", out).returncode == 0
    (out / "report.html").unlink()
    (out / "notebooks/47_evaluation.unfinished").touch()
    assert command("run", "--preset", "smoke", "--out", out).returncode == 0
    assert (out / "report.html").exists() and not list((out / "notebooks").glob("*.unfinished"))


def test_a_signal_that_the_work_does_not_mind_stops_the_run_after_it():
    program = (
        "import os, signal, time\nfrom samplevae.parallel import terminating_children\n"
        "def work():\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(0.2)\n    return 'done'\n"
        "terminating_children(work)\nprint('went on')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "went on" not in done.stdout and "Stopped" in done.stderr


def test_results_and_caches_do_not_lie_among_the_sounds(tmp_path, command, monkeypatch):
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for number in range(12):
        wave = np.sin(np.arange(8000) * (0.05 + 0.01 * number)) * np.exp(-np.arange(8000) / 900)
        soundfile.write(sounds / f"{number}.wav", wave, 16_000)
    done = command("evaluate", sounds, "--reference", sounds, "--out", sounds / "result")
    assert done.returncode == 2 and "lies among the sounds" in done.stderr
    monkeypatch.setenv("SAMPLEVAE_CACHE", str(sounds / "cache"))
    done = command("run", "--preset", "smoke", "--data", sounds, "--out", tmp_path / "out")
    assert done.returncode == 2 and "SAMPLEVAE_CACHE" in done.stderr


@pytest.mark.parametrize(
    "n, temperature, seed",
    [(0, 1.0, 0), (2.0, 1.0, 0), ("3", 1.0, 0), (10**6, 1.0, 0), (4, float("nan"), 0), (4, float("inf"), 0)]
    + [(4, -1.0, 0), (4, 1.0, 2**64), (4, 1.0, -1)],
)
def test_generate_refuses_what_makes_no_sound(smoke_run, n, temperature, seed):
    model, prior = load(smoke_run)
    with pytest.raises(Refused, match="cannot generate|temperature|a seed is"):
        generate(model, prior, n, seed, temperature)


def test_play_finds_a_run_or_says_how_to_make_one(smoke_run, tmp_path, command, monkeypatch):
    out = tmp_path / "outputs/mine"
    shutil.copytree(smoke_run, out)
    monkeypatch.chdir(tmp_path)
    for arguments in (out,), ():
        done = command("play", *arguments, "--no-browser")
        assert done.returncode == 0 and "play.html" in done.stdout
    page = (out / "play.html").read_text()
    assert "default-src 'none'" in page and page.count("<script") == 4
    shutil.rmtree(out / "prior"), (out / "play.html").unlink()
    done = command("play", out, "--no-browser")
    assert done.returncode == 0 and "standard normal" in done.stderr
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    done = command("play", "--no-browser")
    assert done.returncode == 0 and "one-shots" in done.stdout, "without a run, the instrument that came with the clone"
    for arguments in (tmp_path / "nowhere",), (tmp_path / "empty",):
        done = command("play", *arguments, "--no-browser")
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
