"What training promises: many processes or one, killed or not, full disks, numbers that are none."

import errno
import json
import os
import signal
import subprocess
import sys
from copy import deepcopy

import pytest
import torch
from conftest import samplevae
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

from samplevae import training
from samplevae.config import Config
from samplevae.dataset import prepare_store
from samplevae.discriminators import DISCRIMINATORS, DiscriminatorEnsemble, GAN_LOSSES, adversarial_losses
from samplevae.factors import draw
from samplevae.reconstruction import pitch_error
from samplevae.runs import Run
from samplevae.settings import Refused, Stopped
from samplevae.synthesis import synthesise
from samplevae.vae import SampleVAE

TWO_PHASES = {"adversarial_steps": 4, "judge_size": 4}


def smoke(folder, **changes):
    "A run of six steps, and its sounds."
    run = Run.create(folder, Config.preset("smoke", **{"save_every": 0} | changes))
    return run, prepare_store(run)


def rows_of(out):
    "The log of a training."
    return [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]


def test_a_full_disk_does_not_stop_training(tmp_path, monkeypatch):
    saved, save = [], training.save_checkpoint

    def full_at_three(path, networks, phase, step, mark):
        if step == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(path, networks, phase, step, mark)
        saved.append(step)

    monkeypatch.setattr(training, "save_checkpoint", full_at_three)
    run, store = smoke(tmp_path / "run")
    model = training.train(run, store)
    assert saved == [1, 2, 4, 5] and all(p.isfinite().all() for p in model.parameters())
    assert any("no checkpoint at step 3" in text and "No space left" in text for text in run.warnings)


@pytest.mark.parametrize("where", ["loss", "slope"])
def test_what_is_no_number_stops_training_and_the_checkpoint_before_stays(tmp_path, monkeypatch, where):
    class Spoiled(torch.autograd.Function):
        forward = staticmethod(lambda ctx, x: x * 1)
        backward = staticmethod(lambda ctx, slope: slope * float("nan"))

    terms_of, steps = training.loss_terms, []

    def spoiled(model, x, config):
        terms = terms_of(model, x, config)
        steps.append(len(steps))
        if steps[-1] == 3:
            terms["distance"] = (
                terms["distance"] * float("nan") if where == "loss" else Spoiled.apply(terms["distance"])
            )
        return terms

    monkeypatch.setattr(training, "loss_terms", spoiled)
    run, store = smoke(tmp_path / "run")
    named = "distance" if where == "loss" else "slope"
    with pytest.raises(FloatingPointError, match=rf"no number at step 3: .*{named}.*learning_rate"):
        training.train(run, store)
    assert training.checkpoint_step(run / "checkpoint.safetensors", training.fingerprint(run.config, "train")) == 3
    monkeypatch.setattr(training, "loss_terms", terms_of)
    training.train(run, store)
    assert [row["step"] for row in rows_of(run.path) if "distance" in row] == [*range(6)]
    assert "NaN" not in (run / "train.jsonl").read_text()


def test_two_processes_learn_what_one_learns(tmp_path):
    same = ["--preset", "smoke", "--accelerator", "cpu", "--set", "adversarial_steps=4", "--set", "judge_size=4"]
    for processes in "1", "2":
        command = [sys.executable, "-m", "samplevae.cli", "train", *same, "--devices", processes]
        done = subprocess.run([*command, "--out", tmp_path / processes], capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr
    one, two = (rows_of(tmp_path / processes) for processes in "12")
    assert len(one) == len(two) and {"held out"} in [set(row) - {"step"} for row in one]
    for mine, theirs in zip(one, two, strict=True):
        slopes = [row.pop("slope", 0.0) for row in (mine, theirs)]  # a tone's is large, and errors grow in it first
        assert slopes[0] == pytest.approx(slopes[1], rel=1e-2)
        assert mine == pytest.approx(theirs, rel=1e-3, abs=1e-3)
    assert one[0]["distance"] == pytest.approx(two[0]["distance"], rel=1e-6)


def test_two_nodes_share_the_work_by_torchrun(tmp_path):
    train = ["-m", "samplevae.cli", "train", "--preset", "smoke", "--accelerator", "cpu", "--nodes", "2"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--master-port", "29533"]
    nodes = [
        subprocess.Popen([*torchrun, "--node-rank", rank, *train, "--out", tmp_path / "run"], stderr=subprocess.PIPE)
        for rank in "01"
    ]
    said = [node.communicate(timeout=900)[1].decode() for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    assert open_run(tmp_path / "run").finished("train")
    assert [row["step"] for row in rows_of(tmp_path / "run") if "distance" in row] == [*range(6)]


def test_what_cannot_be_shared_is_refused_before_anything_is_written(tmp_path):
    done = samplevae("train", "--preset", "smoke", "--devices", "3", "--accelerator", "cpu", "--out", tmp_path / "run")
    assert done.returncode == 2 and "a batch of 8 cannot be shared by 3 processes" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "run").exists()


def test_a_machine_that_is_alone_is_told_so(tmp_path):
    done = samplevae("train", "--preset", "smoke", "--nodes", "2", "--accelerator", "cpu", "--out", tmp_path / "run")
    assert done.returncode == 2 and "torchrun" in done.stderr and "Traceback" not in done.stderr


def test_a_device_that_holds_no_numbers_is_refused(tmp_path):
    done = samplevae("train", "--preset", "smoke", "--accelerator", "meta", "--out", tmp_path / "run")
    assert done.returncode == 2 and "no device 'meta'" in done.stderr and "Traceback" not in done.stderr


def test_a_training_that_explodes_ends_in_one_line(tmp_path):
    row = ["--set", "learning_rate=1e30", "--out", tmp_path / "run"]
    done = samplevae("train", "--preset", "smoke", "--accelerator", "cpu", *row)
    assert done.returncode == 1 and "samplevae: no number at step" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "run/vae").exists()


def test_what_a_run_leaves_can_be_read_by_others(smoke_run):
    files = [*smoke_run.rglob("*.safetensors")]
    assert files and not [file for file in files if file.stat().st_mode & 0o044 != 0o044]


def test_tensorboard_finds_curves_pairs_and_sounds(smoke_run):
    "One name may not stand for two kinds of things: TensorBoard would drop the second without a word."
    board = EventAccumulator(str(smoke_run / "tensorboard"))
    board.Reload()
    found = {kind: set(board.PluginTagToContent(kind)) for kind in ("scalars", "images", "audio")}
    assert {"distance", "held out"} <= found["scalars"] and found["images"] and "held out 0" in found["audio"]


def test_a_polite_stop_saves_first_and_the_end_is_the_same(tmp_path, monkeypatch):
    whole, store = smoke(tmp_path / "whole", **TWO_PHASES, save_every=1000)
    broken, _ = smoke(tmp_path / "broken", **TWO_PHASES, save_every=1000)
    undisturbed, batch_of = training.train(whole, store), training.training_batch

    def told_at(number):
        def sounds(*arguments):
            if arguments[2] == number:
                signal.raise_signal(signal.SIGTERM)
            return batch_of(*arguments)

        return sounds

    for number in 2, 5, 8:  # in the first phase, at its last step, in the second
        monkeypatch.setattr(training, "training_batch", told_at(number))
        with pytest.raises(Stopped, match=f"saved at step {number + 1} of 10"):
            training.train(broken, store)
    monkeypatch.setattr(training, "training_batch", batch_of)
    resumed = training.train(broken, store)
    assert all(torch.equal(a, b) for a, b in zip(undisturbed.parameters(), resumed.parameters(), strict=True))
    assert (whole / "train.jsonl").read_text() == (broken / "train.jsonl").read_text()


@pytest.mark.parametrize("frozen", ["yes", "no"])
def test_the_second_phase_leaves_a_frozen_encoder_alone(tmp_path, frozen):
    run, store = smoke(tmp_path / "run", **TWO_PHASES, freeze_encoder=frozen, ema_decay=0.0)
    model = training.train(run, store)
    before = training.SampleVAE.from_pretrained(run / "before")
    ours, theirs = (training.reconstruct(m.eval(), store.sounds(slice(0, 8))) for m in (model, before))
    assert not torch.allclose(ours, theirs)
    means = [training.encode_means_and_kl(m.eval(), store.sounds(slice(0, 8)))[0] for m in (model, before)]
    assert torch.allclose(*means, atol=1e-5) == (frozen == "yes")


def test_the_average_and_the_best_are_kept(tmp_path):
    run, store = smoke(tmp_path / "run")
    training.train(run, store)
    held = {row["step"]: row["held out"] for row in rows_of(run.path) if "held out" in row}
    about = json.loads((run / "best/model.json").read_text())
    assert about["held_out"] == min(held.values()) == held[about["step"]]
    assert any((run / "tensorboard").iterdir())


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("hertz", [45.0, 200.0, 3000.0])
def test_a_pitch_that_moves_is_heard(rate, hertz):
    def drum(pitch):
        time = torch.arange(rate) / rate
        sweep = pitch * (time + 0.02 * (1 - torch.exp(-time / 0.02)))  # it begins an octave higher
        return (torch.exp(-6 * time) * (2 * torch.pi * sweep).sin() + 0.003 * torch.randn(rate))[None]

    torch.manual_seed(0)
    moved = [pitch_error(drum(hertz), drum(hertz * 2 ** (k / 12)), rate).item() for k in (0, 1, -3, 30)]
    assert moved == pytest.approx([0, 1, 3, 12], abs=0.3)
    assert pitch_error(drum(hertz), torch.zeros(1, rate), rate).item() > 6, "silence keeps no pitch"
    assert pitch_error(torch.randn(1, rate), drum(hertz), rate).isnan(), "a noise has none to lose"


def test_the_average_forgets_as_it_should():
    model = torch.nn.Linear(1, 1)
    average = deepcopy(model)
    with torch.no_grad():
        model.weight.fill_(1), average.weight.fill_(0)
    training.update_ema(average, model, 0.5, 1000)
    assert average.weight.item() == 0.5


@pytest.mark.parametrize(
    "change",
    [
        dict(augment="gian"),
        dict(attribute_regularization="brightnes"),
        dict(discriminators="fram"),
        dict(windows="500"),
        dict(windows="a"),
        dict(attribute_regularization="length, noisiness", latent=1),
        dict(discriminators="", adversarial_steps=1),
    ],
    ids=str,
)
def test_what_training_does_not_know_is_refused(change):
    with pytest.raises(Refused):
        training.check_training(Config.preset("smoke", **change))


def test_and_before_anything_is_done(tmp_path):
    done = samplevae("run", "--preset", "smoke", "--out", tmp_path / "run", "--set", "judges=fram")
    assert done.returncode == 2 and "did you mean 'frames'?" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changes",
    [
        dict(free_bits=0.1),
        dict(capacity=5.0),
        dict(tc_weight=1.0),
        dict(attribute_regularization="length, brightness"),
        dict(augment="gain, polarity, pitch, tilt, mix"),
        dict(frequency_weighting="mel", tail_weight=0.5),
        dict(noise_bands=0, latent_shape="sequence"),
        dict(optimizer="adam"),
        dict(precision="bf16", adversarial_steps=2),
    ],
    ids=str,
)
def test_every_way_to_train_trains(tmp_path, changes):
    run, store = smoke(tmp_path / "run", discriminator_width=4, **changes)
    model = training.train(run, store)
    assert all(p.isfinite().all() for p in model.parameters())


def share_in_tune(tone, steps=60):
    "Of toms that were never trained on, how many come back within a semitone after a few steps."
    config = Config.preset("smoke", harmonics=tone, steps=steps)
    x = synthesise(draw(torch.arange(160), kinds=("tom",)), config.sample_rate, config.seconds)
    torch.manual_seed(0)
    phase = training.RepresentationPhase(model := SampleVAE(config), steps, training.make_fabric(config))
    for step in range(steps):
        phase.step(x[torch.randperm(128)[:8]][:, None], step)
    moved = pitch_error(x[128:], training.reconstruct(model.eval(), x[128:]), config.sample_rate)
    assert moved.isfinite().sum() > 24, "toms have a pitch"
    return (moved < 1).float().mean().item()


def test_toms_that_were_never_heard_come_back_in_tune():
    assert share_in_tune(tone=4) > 0.9 and share_in_tune(tone=0) < 0.5


def test_attributes_leave_the_pitch_alone():
    def told(z, **changes):
        config = Config.preset("smoke", attribute_regularization="brightness", **changes)
        return training.loss_terms(lambda *_: (x.repeat(2, 1, 1), z, posterior), x, config)["attributes"].item()

    torch.manual_seed(0)
    posterior = SampleVAE(Config.preset("smoke")).encode(x := 0.1 * torch.randn(4, 1, 4000))
    z = torch.randn(4, 8)
    first, second = (torch.cat([z[:, :k], -z[:, k : k + 1], z[:, k + 1 :]], 1) for k in (0, 1))
    assert told(z) == told(first) != told(second)
    assert told(z, tone=0) == told(second, tone=0) != told(first, tone=0)


def test_what_is_measured_is_not_asked_to_be_independent():
    def correlated(z, tone):
        config = Config.preset("smoke", tc_weight=1.0, harmonics=tone)
        return training.loss_terms(lambda *_: (x.repeat(2, 1, 1), z, posterior), x, config)["correlation"].item()

    torch.manual_seed(0)
    posterior = SampleVAE(Config.preset("smoke")).encode(x := 0.1 * torch.randn(4, 1, 4000))
    moved = (z := posterior.mean.detach()) + torch.eye(1, 8)
    assert correlated(z, 4) == correlated(moved, 4) and correlated(z, 0) != correlated(moved, 0)


@pytest.mark.parametrize("shape", [(64, 200), (300, 50), (24, 8, 7)], ids=str)
def test_muon_does_what_torch_does_where_torch_can(shape):
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(start.clone()) for start in [torch.randn(shape)] * 2)
    begin = ours.detach().clone()
    muon = training.Muon([ours], weight_decay=0.01)
    flat = torch.nn.Parameter(theirs.detach().flatten(1))  # it takes no convolutions
    peer = torch.optim.Muon([flat], weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    for rate in 0.01, 0.02, 0.01:
        muon.param_groups[0]["lr"] = peer.param_groups[0]["lr"] = rate
        ours.grad = torch.randn(shape)
        flat.grad = ours.grad.flatten(1)
        muon.step(), peer.step()
    apart, moved = (ours.flatten(1) - flat).norm(), (ours - begin).norm()
    assert apart < 0.03 * moved, "theirs computes in 16 bits"


def test_muon_makes_all_directions_alike():
    torch.manual_seed(0)
    slope = torch.randn(40, 90) * torch.logspace(0, -1, 40)[:, None]
    strong, weak = torch.linalg.svdvals(slope)[[0, -1]], torch.linalg.svdvals(training.orthogonalize(slope))
    assert strong[0] > 10 * strong[1] and weak.max() < 1.3 and weak.min() > 0.6
    assert (training.orthogonalize(torch.zeros(3, 5)) == 0).all()


def test_muon_takes_matrices_and_adam_the_rest():
    model = SampleVAE(Config.preset("smoke"))
    adam, muon = training.build_optimizers(model, model.config)
    rest, matrices = ([w for group in part.param_groups for w in group["params"]] for part in (adam, muon))
    assert len(rest) + len(matrices) == len([*model.parameters()])
    assert sum(w.numel() for w in matrices) > 0.8 * sum(w.numel() for w in model.parameters())
    assert all(w.ndim > 1 and w.shape[1] > 1 for w in matrices)
    assert len(training.build_optimizers(model, Config.preset("smoke", optimizer="adam"))) == 1


@pytest.mark.parametrize("kind", DISCRIMINATORS)
@pytest.mark.parametrize("verdict", GAN_LOSSES)
def test_judges_learn_and_the_decoder_is_told(kind, verdict):
    torch.manual_seed(0)
    judges, real = DiscriminatorEnsemble(kind, 4, shuffle=2), torch.randn(4, 1, 4000)
    made = (0.1 * torch.randn(4, 1, 4000)).requires_grad_()
    optimiser = torch.optim.Adam(judges.parameters(), 1e-3)
    first = None
    for _ in range(12):
        lost, _, unlike = adversarial_losses(judges(torch.cat([real, made])), verdict)
        first = first or lost.item()
        optimiser.zero_grad()
        lost.backward(inputs=[*judges.parameters()])
        optimiser.step()
    assert lost.item() < first and unlike > 0
    slope = torch.autograd.grad(adversarial_losses(judges(torch.cat([real, made])), verdict)[1], made)[0]
    assert slope.isfinite().all() and slope.abs().sum() > 0


@pytest.mark.parametrize("length", [800, 4000, 11_025])
def test_judges_take_clips_of_any_length(length):
    for kind in DISCRIMINATORS:
        assert all(score.isfinite().all() for score, _ in DiscriminatorEnsemble(kind, 4)(torch.zeros(2, 1, length)))


def test_a_batch_is_a_function_of_the_step(tmp_path):
    run, store = smoke(tmp_path / "run")
    sounds, steps = store.split("train"), len(store.split("train")) // 8
    first = torch.cat([training.training_batch(sounds, run.config, step) for step in range(steps)])
    again = torch.cat([training.training_batch(sounds, run.config, step) for step in reversed(range(steps))])
    assert len(first.flatten(1).unique(dim=0)) == 8 * steps
    assert torch.equal(first.flatten(1).sum(1).sort().values, again.flatten(1).sum(1).sort().values)
    assert not torch.equal(first[:8], training.training_batch(sounds, run.config, steps))


def test_a_run_that_gets_sigterm_saves_and_says_so(tmp_path):
    command = [sys.executable, "-m", "samplevae.cli", "run", "--preset", "smoke", "--out", str(tmp_path / "run")]
    slow = ["--set", "steps=100000", "--set", "save_every=1000"]
    process = subprocess.Popen(command + slow, stderr=subprocess.PIPE, text=True, start_new_session=True)
    log = tmp_path / "run/train.jsonl"
    while not (log.exists() and len(log.read_text().splitlines()) > 3):
        assert process.poll() is None, process.stderr.read()
    os.kill(process.pid, signal.SIGTERM)  # this process alone: it has to tell its kernel
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 143 and "goes on from here" in said and "Traceback" not in said, said
    assert training.load_file(tmp_path / "run/checkpoint.safetensors")


@pytest.mark.parametrize("damage", [b"", b"text", b"\0" * 100, None], ids=["empty", "text", "zeros", "half"])
def test_a_damaged_checkpoint_is_said_and_not_used(tmp_path, capsys, damage):
    run, _ = smoke(tmp_path / "run")
    path, model = run / "checkpoint.safetensors", training.SampleVAE(run.config)
    phase = training.RepresentationPhase(model, 6, training.make_fabric(run.config))
    training.save_checkpoint(path, {"model": model}, phase, 3, mark := training.fingerprint(run.config, "train"))
    assert training.checkpoint_step(path, mark) == 3 and training.checkpoint_step(path, "other") == 0
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if damage is None else damage)
    assert training.checkpoint_step(path, mark) == 0 and "damaged" in capsys.readouterr().err


def test_a_log_with_odd_lines_goes_on(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(b'{"step": 0, "distance": 1.0}\n5\n{"distance": 1}\n\xff\xfe{\n{"step": 1, "dist')
    assert training.TrainingLog(path, 5).rows == [{"step": 0, "distance": 1.0}]


def test_a_model_that_is_lost_in_its_last_step_is_not_kept(tmp_path):
    run, store = smoke(tmp_path / "run", steps=1, learning_rate=1e6)
    with pytest.raises(FloatingPointError, match="held out"):
        training.train(run, store)
    assert not (run / "vae").exists() and "NaN" not in (run / "train.jsonl").read_text()


def test_a_stop_between_the_phases_is_heard(tmp_path, monkeypatch):
    run, store = smoke(tmp_path / "run", **TWO_PHASES)
    look = training.Monitor.look

    def told(self, step, model):
        look(self, step, model)
        if step == 5:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(training.Monitor, "look", told)
    with pytest.raises(Stopped, match="saved at step 6 of 10"):
        training.train(run, store)
    monkeypatch.setattr(training.Monitor, "look", look)
    training.train(run, store)
    assert [row["step"] for row in rows_of(run.path) if "distance" in row] == [*range(10)]


def test_all_processes_get_as_many_sounds():
    for processes in 2, 4, 8:
        config = Config.preset("smoke", batch_size=200, devices=processes)
        assert training.effective_batch_size(config, 41) % processes == 0 and training.effective_batch_size(config, 500) == 200
