"What training promises: many processes or one, killed or not, full disks, numbers that are none."

import errno
import json
import os
import signal
import subprocess
import sys
import time
from copy import deepcopy

import pytest
import torch
from conftest import samplevae
from safetensors.torch import load_file
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from torch import distributed, multiprocessing

from samplevae import phases, training
from samplevae.checkpoints import CHECKPOINT, checkpoint_step, save_checkpoint
from samplevae.config import Config, open_run
from samplevae.dataset import prepare_store
from samplevae.discriminators import DISCRIMINATORS, GAN_LOSSES, DiscriminatorEnsemble, adversarial_losses
from samplevae.factors import draw
from samplevae.monitoring import Monitor, TrainingLog, reconstruct
from samplevae.optimizer import Muon, build_optimizers, orthogonalize
from samplevae.phases import (
    AdversarialPhase,
    RepresentationPhase,
    effective_batch_size,
    loss_terms,
    make_fabric,
    training_batch,
    update_ema,
)
from samplevae.reconstruction import pitch_error
from samplevae.runs import Run
from samplevae.settings import Refused, Stopped
from samplevae.synthesis import synthesise
from samplevae.vae import SampleVAE

TWO_PHASES = {"adversarial_steps": 4, "discriminator_width": 4}


def smoke(folder, **changes):
    "A run of six steps, and its sounds."
    run = Run.create(folder, Config.preset("smoke", **{"save_every": 0} | changes))
    return run, prepare_store(run)


def rows_of(out):
    "The log of a training."
    return [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]


def test_a_full_disk_does_not_stop_training(tmp_path, monkeypatch):
    saved, save = [], training.save_checkpoint

    def full_at_three(run, networks, phase, step):
        if step == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(run, networks, phase, step)
        saved.append(step)

    monkeypatch.setattr(training, "save_checkpoint", full_at_three)
    run, store = smoke(tmp_path / "run")
    model = training.train(run, store)
    assert saved == [1, 2, 4, 5] and all(p.isfinite().all() for p in model.parameters())
    assert any("no checkpoint at step 3" in text and "No space left" in text for text in run.warnings)


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_what_is_no_number_stops_training_and_the_checkpoint_before_stays(tmp_path, monkeypatch, where):
    class Spoiled(torch.autograd.Function):
        forward = staticmethod(lambda ctx, x: x * 1)
        backward = staticmethod(lambda ctx, gradient: gradient * float("nan"))

    steps = []

    def spoiled(model, x, config):
        terms = loss_terms(model, x, config)
        steps.append(len(steps))
        if steps[-1] == 3:
            terms["spectral_distance"] = (
                terms["spectral_distance"] * float("nan")
                if where == "loss"
                else Spoiled.apply(terms["spectral_distance"])
            )
        return terms

    monkeypatch.setattr(phases, "loss_terms", spoiled)
    run, store = smoke(tmp_path / "run")
    named = "spectral_distance" if where == "loss" else "gradient_norm"
    with pytest.raises(FloatingPointError, match=rf"no number at step 3: .*{named}.*learning_rate"):
        training.train(run, store)
    assert checkpoint_step(run) == 3
    monkeypatch.setattr(phases, "loss_terms", loss_terms)
    training.train(run, store)
    assert [row["step"] for row in rows_of(run.path) if "spectral_distance" in row] == [*range(6)]
    assert "NaN" not in (run / "train.jsonl").read_text()


WHOLE_BATCH = [
    (RepresentationPhase, {}),
    (RepresentationPhase, dict(free_bits=0.5, tc_weight=1.0, attribute_regularization="brightness")),
    (RepresentationPhase, dict(capacity=5.0)),
    (AdversarialPhase, dict(freeze_encoder=False, tc_weight=1.0)),
]


def gradients(rank, processes, folder):
    "Write the gradients of one step, in 64 bits, of a batch that so many processes share."
    torch.set_default_dtype(torch.float64), torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1"}
    os.environ |= {"MASTER_PORT": "29571", "TORCHELASTIC_RUN_ID": "test", "LOCAL_WORLD_SIZE": str(processes)}
    from lightning_fabric import Fabric

    strategy = "ddp" if processes > 1 else "auto"
    fabric = Fabric(accelerator="cpu", devices=processes, strategy=strategy, precision="64-true")
    fabric.launch()
    for number, (kind, changes) in enumerate(WHOLE_BATCH):
        config = Config.preset("smoke", devices=processes, discriminator_width=4, **changes)
        torch.manual_seed(0)
        x = 0.3 * torch.randn(8, 1, config.length)
        phase = kind(SampleVAE(config), config, 10, fabric)
        phase.optimizer_step = lambda: torch.zeros(())  # the gradients stay
        torch.manual_seed(1)
        phase.step(phases.shard(x, fabric), 5)
        parts = [phase.model, *phase.parts.values()]
        weights = [weight for part in parts for weight in part.parameters() if weight.grad is not None]
        if rank == 0:
            torch.save([weight.grad for weight in weights], f"{folder}/{number}-{processes}.pt")
    if processes > 1:
        distributed.destroy_process_group()


@pytest.mark.long
def test_two_processes_compute_the_gradient_of_one(tmp_path):
    for processes in 1, 2:
        multiprocessing.spawn(gradients, (processes, tmp_path), nprocs=processes)
    for number in range(len(WHOLE_BATCH)):
        one, two = (torch.load(tmp_path / f"{number}-{processes}.pt") for processes in (1, 2))
        largest = max(gradient.abs().max() for gradient in one)
        assert largest > 1e-3
        assert max((a - b).abs().max() for a, b in zip(one, two, strict=True)) < 1e-9 * largest, WHOLE_BATCH[number]


@pytest.mark.long
def test_two_processes_learn_as_one_does(smoke_run, tmp_path):
    "Rounding grows from step to step, so the courses agree, and not the digits."
    done = samplevae("train", "--preset", "smoke", "--accelerator", "cpu", "--devices", "2", "--out", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    one, two = (rows_of(out) for out in (smoke_run, tmp_path / "two"))
    assert [row.keys() for row in one] == [row.keys() for row in two] and any("valid_distance" in row for row in one)
    for mine, theirs in zip(one, two, strict=True):
        name = "valid_distance" if "valid_distance" in mine else "spectral_distance"
        assert mine[name] == pytest.approx(theirs[name], rel=0.05)


def test_what_depends_on_the_part_of_a_process_is_refused():
    with pytest.raises(Refused, match="phase_shuffle"):
        Config.preset("smoke", devices=2, phase_shuffle=2)


@pytest.mark.long
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
    assert [row["step"] for row in rows_of(tmp_path / "run") if "spectral_distance" in row] == [*range(6)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--devices", "3"], "a batch of 8 cannot be shared by 3 processes"),
        (["--nodes", "2"], "torchrun"),
        (["--accelerator", "meta"], "no device 'meta'"),
        (["--set", "discriminators=fram"], "did you mean 'framewise'?"),
        (["--set", "phase_shuffle=2", "--devices", "2"], "on one process"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(arguments, says, tmp_path, command):
    done = command("train", "--preset", "smoke", "--accelerator", "cpu", "--out", tmp_path / "run", *arguments)
    assert done.returncode == 2 and says in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_training_that_explodes_ends_in_one_line(tmp_path, command):
    row = ["--set", "learning_rate=1e9", "--out", tmp_path / "run"]
    done = command("train", "--preset", "smoke", "--accelerator", "cpu", *row)
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
    assert (
        {"spectral_distance", "valid_distance"} <= found["scalars"]
        and found["images"]
        and "held out 0" in found["audio"]
    )


def test_a_polite_stop_saves_first_and_the_end_is_the_same(tmp_path, monkeypatch):
    whole, store = smoke(tmp_path / "whole", **TWO_PHASES, save_every=1000)
    broken, _ = smoke(tmp_path / "broken", **TWO_PHASES, save_every=1000)
    undisturbed, batch_of = training.train(whole, store), training_batch

    def told_at(number, how):
        def sounds(*arguments):
            if arguments[2] == number:
                signal.raise_signal(how)
            return batch_of(*arguments)

        return sounds

    # in the first phase, at its last step, in the second; a cluster's signal, and Ctrl-C
    for number, how in (2, signal.SIGTERM), (5, signal.SIGINT), (8, signal.SIGTERM):
        monkeypatch.setattr(training, "training_batch", told_at(number, how))
        with pytest.raises(Stopped, match=f"saved at step {number + 1} of 10"):
            training.train(broken, store)
    monkeypatch.setattr(training, "training_batch", batch_of)
    resumed = training.train(broken, store)
    assert all(torch.equal(a, b) for a, b in zip(undisturbed.parameters(), resumed.parameters(), strict=True))
    assert (whole / "train.jsonl").read_text() == (broken / "train.jsonl").read_text()


@pytest.mark.parametrize("frozen", [True, False])
def test_the_second_phase_leaves_a_frozen_encoder_alone(tmp_path, frozen):
    run, store = smoke(tmp_path / "run", **TWO_PHASES, freeze_encoder=frozen, ema_decay=0.0)
    model = training.train(run, store)
    before = SampleVAE.from_pretrained(run / "before")
    ours, theirs = (reconstruct(m.eval(), store.sounds(slice(0, 8))) for m in (model, before))
    assert not torch.allclose(ours, theirs)
    means = [training.encode_points_and_kl(m.eval(), store.sounds(slice(0, 8)))[0] for m in (model, before)]
    assert torch.allclose(*means, atol=1e-5) == frozen


def test_the_average_and_the_best_are_kept(tmp_path):
    run, store = smoke(tmp_path / "run")
    training.train(run, store)
    held = {row["step"]: row["valid_distance"] for row in rows_of(run.path) if "valid_distance" in row}
    about = json.loads((run / "best/model.json").read_text())
    assert about["valid_distance"] == min(held.values()) == held[about["step"]]
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
    update_ema(average, model, 0.5, 1000)
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
        dict(tc_weight=1.0, latent_shape="sequence"),
        dict(freeze_encoder="perhaps"),
    ],
    ids=str,
)
def test_what_training_does_not_know_is_refused(change):
    with pytest.raises(Refused):
        Config.preset("smoke", **change)


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


def share_in_tune(harmonics, steps=60):
    "Of toms that were never trained on, how many come back within a semitone after a few steps."
    config = Config.preset("smoke", harmonics=harmonics, steps=steps)
    x = synthesise(draw(torch.arange(160), kinds=("tom",)), config.sample_rate, config.seconds)
    torch.manual_seed(0)
    phase = RepresentationPhase(model := SampleVAE(config), config, steps, make_fabric(config))
    for step in range(steps):
        phase.step(x[torch.randperm(128)[:8]][:, None], step)
    moved = pitch_error(x[128:], reconstruct(model.eval(), x[128:]), config.sample_rate)
    assert moved.isfinite().sum() > 24, "toms have a pitch"
    return (moved < 1).float().mean().item()


def test_toms_that_were_never_heard_come_back_in_tune():
    assert share_in_tune(harmonics=4) > 0.9 and share_in_tune(harmonics=0) < 0.5


def test_attributes_ask_the_first_dimensions_alone():
    def attribute_term(z):
        config = Config.preset("smoke", attribute_regularization="brightness")
        return loss_terms(lambda *_: (x.repeat(2, 1, 1), z, posterior, {}), x, config)["attribute_loss"].item()

    torch.manual_seed(0)
    posterior = SampleVAE(Config.preset("smoke")).encode(x := 0.1 * torch.randn(4, 1, 4000))
    z = torch.randn(4, 8)
    first, second = (torch.cat([z[:, :k], -z[:, k : k + 1], z[:, k + 1 :]], 1) for k in (0, 1))
    assert attribute_term(z) == attribute_term(second) != attribute_term(first)


@pytest.mark.parametrize("setting", ["tc_weight", "free_bits"])
def test_what_looks_at_single_dimensions_wants_a_gaussian(setting):
    with pytest.raises(Refused, match="set posterior=gaussian"):
        Config.preset("smoke", posterior="iaf", **{setting: 0.1})


@pytest.mark.parametrize("shape", [(64, 200), (300, 50), (24, 8, 7)], ids=str)
def test_muon_does_what_torch_does_where_torch_can(shape):
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(start.clone()) for start in [torch.randn(shape)] * 2)
    begin = ours.detach().clone()
    muon = Muon([ours], weight_decay=0.01)
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
    gradient = torch.randn(40, 90) * torch.logspace(0, -1, 40)[:, None]
    strong, weak = torch.linalg.svdvals(gradient)[[0, -1]], torch.linalg.svdvals(orthogonalize(gradient))
    assert strong[0] > 10 * strong[1] and weak.max() < 1.3 and weak.min() > 0.6
    assert (orthogonalize(torch.zeros(3, 5)) == 0).all()


def test_muon_takes_matrices_and_adam_the_rest():
    model = SampleVAE(Config.preset("smoke"))
    adam, muon = build_optimizers(model, Config.preset("smoke"))
    rest, matrices = ([w for group in part.param_groups for w in group["params"]] for part in (adam, muon))
    assert len(rest) + len(matrices) == len([*model.parameters()])
    assert sum(w.numel() for w in matrices) > 0.8 * sum(w.numel() for w in model.parameters())
    assert all(w.ndim > 1 and w.shape[1] > 1 for w in matrices)
    assert len(build_optimizers(model, Config.preset("smoke", optimizer="adam"))) == 1


@pytest.mark.parametrize("kind", DISCRIMINATORS)
@pytest.mark.parametrize("gan_loss", GAN_LOSSES)
def test_discriminators_learn_and_the_decoder_gets_a_gradient(kind, gan_loss):
    torch.manual_seed(0)
    ensemble, real = DiscriminatorEnsemble(kind, 4, shift=2), torch.randn(4, 1, 4000)
    fake = (0.1 * torch.randn(4, 1, 4000)).requires_grad_()
    optimizer = torch.optim.Adam(ensemble.parameters(), 1e-3)
    first = None
    for _ in range(12):
        loss, _, matching = adversarial_losses(ensemble(torch.cat([real, fake])), gan_loss)
        first = first or loss.item()
        optimizer.zero_grad()
        loss.backward(inputs=[*ensemble.parameters()])
        optimizer.step()
    assert loss.item() < first and matching > 0
    decoder_loss = adversarial_losses(ensemble(torch.cat([real, fake])), gan_loss)[1]
    gradient = torch.autograd.grad(decoder_loss, fake)[0]
    assert gradient.isfinite().all() and gradient.abs().sum() > 0


@pytest.mark.parametrize("length", [800, 4000, 11_025])
def test_discriminators_take_clips_of_any_length(length):
    for kind in DISCRIMINATORS:
        scores = DiscriminatorEnsemble(kind, 4)(torch.zeros(2, 1, length))
        assert all(score.isfinite().all() for score, _ in scores)


def test_a_batch_is_a_function_of_the_step(tmp_path):
    run, store = smoke(tmp_path / "run")
    sounds, steps = store.split("train"), len(store.split("train")) // 8
    first = torch.cat([training_batch(sounds, run.config, step) for step in range(steps)])
    again = torch.cat([training_batch(sounds, run.config, step) for step in reversed(range(steps))])
    assert len(first.flatten(1).unique(dim=0)) == 8 * steps
    assert torch.equal(first.flatten(1).sum(1).sort().values, again.flatten(1).sum(1).sort().values)
    assert not torch.equal(first[:8], training_batch(sounds, run.config, steps))


@pytest.mark.long
def test_a_run_that_gets_sigterm_saves_and_says_so(tmp_path):
    command = [sys.executable, "-m", "samplevae.cli", "run", "--preset", "smoke", "--out", str(tmp_path / "run")]
    slow = ["--set", "steps=100000", "--set", "save_every=1000"]
    process = subprocess.Popen(command + slow, stderr=subprocess.PIPE, text=True, start_new_session=True)
    log = tmp_path / "run/train.jsonl"
    while not (log.exists() and len(log.read_text().splitlines()) > 3):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)  # this process alone: it has to tell its kernel
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 143 and "goes on from here" in said and "Traceback" not in said, said
    assert load_file(tmp_path / "run/checkpoint.safetensors")


@pytest.mark.parametrize("damage", [b"", b"text", b"\0" * 100, None], ids=["empty", "text", "zeros", "half"])
def test_a_damaged_checkpoint_is_said_and_not_used(tmp_path, capsys, damage):
    run, _ = smoke(tmp_path / "run")
    path, model = run / CHECKPOINT, SampleVAE(run.config)
    phase = RepresentationPhase(model, run.config, 6, make_fabric(run.config))
    save_checkpoint(run, {"model": model}, phase, 3)
    other = Run(run.path, Config.preset("smoke", latent=9))
    assert checkpoint_step(run) == 3 and checkpoint_step(other) == 0
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if damage is None else damage)
    assert checkpoint_step(run) == 0 and "damaged" in capsys.readouterr().err


def test_a_log_with_odd_lines_goes_on(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(
        b'{"step": 0, "spectral_distance": 1.0}\n5\n{"spectral_distance": 1}\n\xff\xfe{\n{"step": 1, "dist'
    )
    assert TrainingLog(path, 5).rows == [{"step": 0, "spectral_distance": 1.0}]


def test_a_model_that_is_lost_in_its_last_step_is_not_kept(tmp_path):
    run, store = smoke(tmp_path / "run", steps=1, learning_rate=1e6)
    with pytest.raises(FloatingPointError, match="valid_distance"):
        training.train(run, store)
    assert not (run / "vae").exists() and "NaN" not in (run / "train.jsonl").read_text()


def test_a_stop_between_the_phases_is_heard(tmp_path, monkeypatch):
    run, store = smoke(tmp_path / "run", **TWO_PHASES)
    validate = Monitor.validate

    def told(self, step, model):
        validate(self, step, model)
        if step == 5:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Monitor, "validate", told)
    with pytest.raises(Stopped, match="saved at step 6 of 10"):
        training.train(run, store)
    monkeypatch.setattr(Monitor, "validate", validate)
    training.train(run, store)
    assert [row["step"] for row in rows_of(run.path) if "spectral_distance" in row] == [*range(10)]


def test_all_processes_get_as_many_sounds():
    for processes in 2, 4, 8:
        config = Config.preset("smoke", batch_size=200, devices=processes)
        assert effective_batch_size(config, 41) % processes == 0 and effective_batch_size(config, 500) == 200
