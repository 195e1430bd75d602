"""How the parts are connected: each test fails where a term, a draw, a schedule or a set is left out, turned round or exchanged.

`python tests/mutants.py` makes such changes, one at a time, in a copy of the package, and says which of them no test notices.
"""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from mutants import LIST, listed_changes

from samplevae import embeddings, evaluation, monitoring, novelty, phases, training
from samplevae.comparison import ScoredRunConfig, SoundSet, compare_sets, unique_names
from samplevae.config import Config
from samplevae.dataset import plot_store
from samplevae.duplicates import split_by_group, split_of_group
from samplevae.embeddings import align_sounds, log_mel_of_store, make_drumnet
from samplevae.evaluation import evaluate
from samplevae.factors import DRUMS, draw
from samplevae.floors import (
    CEILING_ROW,
    FLOOR_ROW,
    MATCHED,
    SPLITS_ROW,
    Points,
    difference_rows,
    generation_rows,
    generation_tables,
    label_matched_frechet,
    random_groups_mask,
    reference_sample,
    score_sets,
)
from samplevae.flows import GaussianPosterior
from samplevae.intervals import MIN_POINTS, Score, group_half_masks, pair_masks
from samplevae.losses import (
    ATTRIBUTES,
    energy_distance,
    kl_objective,
    kl_per_dimension,
    spectral_weights,
    total_correlation,
)
from samplevae.monitoring import held_out, reconstruct
from samplevae.novelty import latent_novelty, novelty_rows
from samplevae.phases import AdversarialPhase, RepresentationPhase, loss_terms, make_fabric
from samplevae.prior import (
    PRIORS,
    FlowPrior,
    NormalPrior,
    fit_flow,
    fit_priors,
    generate,
    load_prior,
)
from samplevae.report import readable_rows, text_table
from samplevae.runs import Run
from samplevae.settings import Refused
from samplevae.sources import folder_source, parse_source, synthesis_source
from samplevae.store import Store
from samplevae.synthesis import synthesise
from samplevae.vae import SampleVAE
from samplevae.vectors import EncodedSounds, encode_posteriors, plot_latents

RATE, SECONDS = 16_000, 0.25


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory) -> Iterator[None]:
    "A cache that ends with these tests."
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMPLEVAE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    "Ninety drums, three of each group, in an order that has nothing to do with their groups."
    folder = tmp_path_factory.mktemp("sounds")
    kinds = [kind for kind in ("kick", "snare", "closed hat") for _ in range(30)]
    waves = torch.cat([synthesise(draw(torch.arange(30), n, (kinds[30 * n],)), RATE, SECONDS) for n in range(3)])
    order = np.random.default_rng(0).permutation(90)
    rows = [{"file": f"{i:02}.wav", "label": kinds[k], "group": f"drum {k // 3}"} for i, k in enumerate(order)]
    for row, k in zip(rows, order, strict=True):
        soundfile.write(folder / row["file"], waves[k].numpy(), RATE)
    pd.DataFrame(rows).to_csv(folder / "clips.csv", index=False)
    return Store.prepare(folder_source(folder), folder.parent / "store", RATE, SECONDS, drop_near_duplicates=False)


@pytest.fixture
def batch(store) -> torch.Tensor:
    return store.split("train").sounds(slice(0, 8))[:, None]


def make_phase(kind=RepresentationPhase, steps=20, **changes):
    "A phase of a small model, and its settings."
    config = Config.preset("smoke", discriminator_width=4, **changes)
    torch.manual_seed(0)
    return kind(SampleVAE(config), config, steps, make_fabric(config)), config


def step_and_loss(phase, x, step):
    "One step: the terms that it returns, and the loss that it minimised."
    losses, backward = [], phase.fabric.backward

    def noted(loss, *arguments, **options):
        losses.append(loss.item())
        backward(loss, *arguments, **options)

    phase.fabric = SimpleNamespace(backward=noted, all_reduce=phase.fabric.all_reduce)
    torch.manual_seed(1)
    return phase.step(x, step), losses


# The model and its loss


def test_vectors_are_drawn_from_their_posterior(batch):
    model = SampleVAE(Config.preset("smoke"))
    torch.manual_seed(0)
    with torch.no_grad():
        y, z, posterior, _ = model(batch.repeat(32, 1, 1), 1)
    normal = (z - posterior.mean) / posterior.stddev
    assert abs(normal.mean()) < 0.1 and abs(normal.std() - 1) < 0.1
    with torch.no_grad():
        pitch = model.measure_pitch(batch)
        assert not torch.allclose(model.decode(z[:8], pitch), model.decode(posterior.point()[:8], pitch), atol=1e-3)
        torch.manual_seed(0)
        again = model.decode(model.encode(batch.repeat(32, 1, 1)).rsample()[:8], pitch)
        assert (y[:8] - again).norm() < 0.5 * (y[:8] - model.decode(z[:8])).norm(), "decoded at its own pitch"


WEIGHTS = dict(
    beta=0.5,
    energy_weight=0.7,
    gate_weight=2.0,
    fall_weight=3.0,
    tc_weight=3.0,
    attribute_regularization="brightness",
    free_bits=0.05,
)


@pytest.mark.parametrize(("step", "warmup"), [(0, 0), (3, 0.5), (6, 1), (15, 1)])
@pytest.mark.parametrize("changes", [dict(beta=0.5), WEIGHTS], ids=["plain", "all terms"])
def test_the_loss_is_the_sum_of_its_terms(batch, changes, step, warmup):
    phase, config = make_phase(steps=20, **changes)
    terms, losses = step_and_loss(phase, batch, step)
    kl = terms["kl_objective"] if config.free_bits else terms["kl"]
    expected = terms["spectral_distance"] - config.energy_weight * terms["draw_distance"]
    expected += config.beta * warmup * (kl + config.tc_weight * terms.get("total_correlation", 0))
    expected += 0.1 * terms.get("attribute_loss", 0) + config.gate_weight * terms["gate_loss"]
    expected += config.fall_weight * terms["fall_loss"]
    assert (
        terms["gate_loss"] > 0
        and (terms["fall_loss"] > 0) == (config.fall_weight > 0)
        and terms["kl"] > 0
        and terms["draw_distance"] > 0
    )
    assert losses == [pytest.approx(float(expected.detach()), rel=1e-5)]


@pytest.mark.parametrize(("start", "warmup"), [("", 0), ("one-shots", 1)])
def test_a_model_that_has_learned_needs_no_warm_up(batch, start, warmup):
    phase, config = make_phase(start=start, beta=0.5)
    terms, losses = step_and_loss(phase, batch, 0)
    expected = terms["spectral_distance"] - config.energy_weight * terms["draw_distance"]
    expected += config.gate_weight * terms["gate_loss"] + 0.5 * warmup * terms["kl"]
    assert losses == [pytest.approx(float(expected.detach()), rel=1e-5)]


def test_the_terms_are_what_the_chapter_of_losses_computes(batch):
    phase, config = make_phase(**WEIGHTS)
    torch.manual_seed(0)
    y, z, posterior, measured = phase.model(batch, 2, True)
    terms = loss_terms(lambda *_: (y, z, posterior, measured), batch, config)
    truth, pair = energy_distance(batch, y, (2048, 512, 128), config.tail_weight, config.sample_rate, 1e-4)
    kl = kl_per_dimension(posterior)
    expected = {
        "spectral_distance": truth.mean(),
        "draw_distance": pair.mean(),
        "kl": kl.sum(1).mean(),
        **measured,
        "kl_objective": kl_objective(kl, config.free_bits, config.capacity),
        "total_correlation": total_correlation(z, posterior),
    }
    for name, value in expected.items():
        assert float(terms[name]) == pytest.approx(float(value), rel=1e-5), name


def test_the_second_draw_gets_no_gradient(batch):
    y = torch.randn(16, 1, batch.shape[2], requires_grad=True)
    energy_distance(batch, y)[1].sum().backward()
    assert y.grad[:8].abs().sum() > 0 and y.grad[8:].abs().sum() == 0


def test_what_comes_after_the_end_and_what_is_high_count_less(store):
    time = torch.arange(4000) / RATE
    x = torch.zeros(1, 1, 4000)
    x[0, 0, :800] = (2 * torch.pi * 500 * time[:800]).sin()
    config = Config.preset("smoke", tail_weight=0.1)
    posterior = GaussianPosterior(torch.zeros(1, 8), torch.ones(1, 8))

    def distance(place, hertz, **changes):
        y = x.clone()
        y[0, 0, place] += 0.3 * (2 * torch.pi * hertz * time[place]).sin()
        terms = loss_terms(lambda *_: (y, posterior.mean, posterior, {}), x, Config.preset("smoke", **changes))
        return float(terms["spectral_distance"])

    tail, attack = slice(2500, 3300), slice(0, 800)
    assert config.tail_weight == 0.1
    assert distance(tail, 500, tail_weight=0.1) < 0.5 * distance(tail, 500, tail_weight=1.0)
    low, high = (distance(attack, hertz, frequency_weighting="mel") for hertz in (300, 7000))
    flat_low, flat_high = (distance(attack, hertz, frequency_weighting="flat") for hertz in (300, 7000))
    assert low / high > 2 * flat_low / flat_high


def test_total_correlation_is_larger_where_dimensions_know_of_each_other():
    torch.manual_seed(0)
    z = torch.randn(64, 4)
    same = z[:, :1].expand(64, 4) + 0.05 * z
    narrow = torch.full((64, 4), 0.1)
    apart, together = (total_correlation(v, GaussianPosterior(v, narrow)) for v in (z, same))
    assert together > apart + 0.5


# Steps


def test_the_learning_rate_rises_falls_and_is_that_of_the_phase(batch):
    for kind, peak in (RepresentationPhase, 0.01), (AdversarialPhase, 0.002):
        phase, _ = make_phase(kind, 50, learning_rate=0.01, adversarial_rate=0.002, warmup_steps=4)
        rates = []
        for step in 0, 1, 3, 25, 49:
            phase.step(batch, step)
            rates += [{group["lr"] for optimizer in phase.optimizers for group in optimizer.param_groups}]
        assert all(len(rate) == 1 for rate in rates), "one rate for all"
        rising = [min(1, (step + 1) / 4) for step in (0, 1, 3, 25, 49)]
        falling = [0.5 + 0.5 * math.cos(math.pi * step / 50) for step in (0, 1, 3, 25, 49)]
        expected = [peak * a * b for a, b in zip(rising, falling, strict=True)]
        assert [min(rate) for rate in rates] == pytest.approx(expected)


@pytest.mark.parametrize("kind", [RepresentationPhase, AdversarialPhase])
def test_the_gradient_is_clipped_and_its_norm_before_is_said(batch, kind):
    phase, config = make_phase(kind, grad_clip=1e-3)
    said = float(phase.step(batch, 10)["gradient_norm"])
    used = torch.cat([p.grad.flatten() for p in phase.model.parameters() if p.grad is not None]).norm()
    assert said > 2e-3 and used == pytest.approx(1e-3, rel=0.01)


@pytest.mark.parametrize("kind", [RepresentationPhase, AdversarialPhase])
def test_gradients_do_not_pile_up(batch, kind):
    "The second of two equal steps without movement has the norm of the first."
    phase, _ = make_phase(kind, learning_rate=0.0, adversarial_rate=0.0)
    first, second = (float(step_and_loss(phase, batch, 10)[0]["gradient_norm"]) for _ in range(2))
    assert second == pytest.approx(first, rel=1e-3)


def decoder_after_a_step(batch, discriminator_seed, share):
    phase, _ = make_phase(AdversarialPhase, discriminator_share=share)
    torch.manual_seed(discriminator_seed)
    for weight in phase.discriminators.parameters():
        weight.data = torch.randn_like(weight) * 0.3
    before = torch.cat([p.detach().flatten() for p in phase.discriminators.parameters()])
    step_and_loss(phase, batch, 10)
    after = torch.cat([p.detach().flatten() for p in phase.discriminators.parameters()])
    assert not torch.equal(before, after), "discriminators learn"
    return torch.cat([p.detach().flatten() for p in phase.model.decoder.parameters()])


def test_the_decoder_learns_from_discriminators_as_much_as_it_should(batch):
    assert torch.equal(decoder_after_a_step(batch, 1, 0.0), decoder_after_a_step(batch, 2, 0.0))
    assert not torch.equal(decoder_after_a_step(batch, 1, 1.0), decoder_after_a_step(batch, 2, 1.0))


def test_discriminators_learn_to_tell_and_the_decoder_to_be_taken_for_real(batch):
    "Without movement of the other side, each loss falls."
    phase, config = make_phase(AdversarialPhase, 200, adversarial_rate=2e-3, warmup_steps=1)
    generator, discriminator = phase.optimizers
    phase.optimizers = [discriminator]
    losses = [float(step_and_loss(phase, batch, 10)[0]["discriminator_loss"]) for _ in range(12)]
    assert losses[-1] < losses[0]
    phase, config = make_phase(AdversarialPhase, 200, adversarial_rate=2e-3, warmup_steps=1, discriminator_share=1.0)
    phase.optimizers = phase.optimizers[:1]
    losses = [float(step_and_loss(phase, batch, 10)[0]["adversarial_loss"]) for _ in range(12)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("measured", ["gate", "fall"])
def test_what_is_measured_is_learned_in_the_second_phase_as_well(batch, measured):
    phases = [make_phase(AdversarialPhase, **{f"{measured}_weight": weight})[0] for weight in (0.0, 2.0)]
    (_, without), (terms, weighed) = [step_and_loss(phase, batch, 10) for phase in phases]
    assert terms[f"{measured}_loss"] > 0
    assert weighed[-1] == pytest.approx(without[-1] + 2 * float(terms[f"{measured}_loss"]), rel=1e-4, abs=1e-4)


def test_a_frozen_encoder_stays_and_a_free_one_is_regularised(batch):
    for freeze in True, False:
        phase, config = make_phase(AdversarialPhase, freeze_encoder=freeze, beta=1.0)
        before = [p.detach().clone() for p in phase.model.encoder.parameters()]
        terms, losses = step_and_loss(phase, batch, 10)
        moved = any(not torch.equal(a, b) for a, b in zip(before, phase.model.encoder.parameters(), strict=True))
        assert moved != freeze
        alone, _ = make_phase(AdversarialPhase, freeze_encoder=freeze, beta=0.0)
        without = step_and_loss(alone, batch, 10)[1][-1]
        expected = without if freeze else without + float(terms["kl"])
        assert losses[-1] == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_the_model_that_is_saved_is_the_average(store, tmp_path, monkeypatch):
    kept = {}

    def noted(average, model, decay, step, update=training.update_ema):
        before = [p.clone() for p in average.parameters()]
        update(average, model, decay, step)
        share = 1 - min(decay, (1 + step) / (10 + step))
        for old, new, now in zip(before, average.parameters(), model.parameters(), strict=True):
            assert torch.allclose(new, old + share * (now - old), atol=1e-6)
        kept.update(average=average, model=model)

    monkeypatch.setattr(training, "update_ema", noted)
    run = Run.create(tmp_path / "run", Config.preset("smoke", save_every=1000))
    training.train(run, store)
    z = torch.randn(4, 8)
    with torch.no_grad():
        saved = SampleVAE.from_pretrained(run / "vae").decode(z)
        assert torch.allclose(saved, kept["average"].eval().decode(z), atol=1e-4)
        assert not torch.allclose(saved, kept["model"].eval().decode(z), atol=1e-3)


# Priors


def test_the_flow_is_fitted_to_samples_and_not_to_means():
    torch.manual_seed(0)
    means, stds = 3 * torch.randint(0, 2, (400, 1)).repeat(1, 2).float(), torch.full((400, 2), 0.5)
    flow = fit_flow(FlowPrior, EncodedSounds.from_moments(means, stds), 300, 2)
    with torch.no_grad():
        samples = flow.sample((4000,))
    near = samples[(samples - 3).abs().amax(1) < 1.5]
    assert 0.3 < len(near) / 4000 < 0.7
    assert 0.35 < near.std(0).mean() < 0.65, "as wide as the posteriors"


@pytest.mark.parametrize("make", [NormalPrior, FlowPrior])
def test_temperature_narrows_what_is_drawn(make):
    torch.manual_seed(0)
    prior = make(4)
    with torch.no_grad():
        wide, half, none = (prior.sample((500,), temperature) for temperature in (1.0, 0.5, 0.0))
    assert 0.3 < half.std() / wide.std() < 0.7 and none.std(0).max() < 1e-5


def test_generating_passes_temperature_on_and_draws_noise_anew(batch):
    model, given = SampleVAE(Config.preset("smoke")).eval(), []

    class Same(NormalPrior):
        def sample(self, shape=(), temperature=1.0, seed=None):
            given.append(temperature)
            torch.manual_seed(seed)
            return torch.ones(*shape, 10)

    sounds = generate(model, Same(8, 2), 3, seed=5, temperature=0.3)
    assert given == [0.3]
    assert not torch.allclose(sounds[0], sounds[1], atol=1e-4), "one vector, other noise"
    assert torch.equal(sounds, generate(model, Same(8, 2), 3, seed=5))
    assert not torch.equal(sounds, generate(model, Same(8, 2), 3, seed=6))


@pytest.mark.parametrize(("latent", "count"), [(8, 0), (8, -1), (5, 2)])
def test_what_cannot_be_generated_is_refused(latent, count):
    with pytest.raises(Refused, match="cannot generate"):
        generate(SampleVAE(Config.preset("smoke")), NormalPrior(latent, 2), count)


@pytest.mark.parametrize("text", ["synthesis:xyz", "nsynth:", "maestro:", "folder:", "folder", "nsynth", ""])
def test_a_source_without_its_place_is_refused(text):
    with pytest.raises(Refused, match="folder"):
        parse_source(text)


def test_every_source_of_the_readme_is_there_from_the_command_line():
    "In a process of its own: here, other tests have imported everything."
    program = "import samplevae.cli, samplevae.dataset, samplevae.sources as s; print(*s.parse_source('maestro:x'))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["maestro", "x"], done.stderr


def test_priors_learn_from_training_sounds_alone(store, tmp_path, monkeypatch):
    seen = {}

    def noted(cls, sounds, config, run=None):
        seen.update(sounds=sounds)
        return cls.for_sounds(sounds)

    monkeypatch.setitem(PRIORS, "spline", type("Noted", (FlowPrior,), {"fit": classmethod(noted)}))
    run, model = Run.create(tmp_path / "run", Config.preset("smoke")), SampleVAE(Config.preset("smoke")).eval()
    fit_priors(run, store, model)
    train = store.split("train")
    with torch.no_grad():
        posterior = model.encode(train.sounds(slice(0, len(train)))[:, None])
        pitch = model.measure_pitch(train.sounds(slice(0, len(train)))[:, None])
    assert torch.allclose(seen["sounds"].points(), torch.cat([pitch, posterior.point()], 1), atol=1e-4)
    assert torch.allclose(seen["sounds"].stds(), torch.cat([0 * pitch, posterior.stddev], 1), atol=1e-4)


# Sets of sounds


def test_a_group_is_on_one_side(store):
    sides = store.table.groupby("group").split.nunique()
    assert (store.table.groupby("group").size() == 3).all() and (sides == 1).all()
    assert set(store.table.split) >= {"train", "test"}


def test_every_label_of_three_groups_is_held_out():
    "And what its own hash holds out stays so when sounds are added."
    few = [(f"label {a}", f"{a} {n}") for a in range(40) for n in range(3 + a % 4)] + [("pair", "p 1"), ("pair", "p 2")]
    table = pd.DataFrame(few * 2, columns=["label", "group"])
    table["split"] = split_by_group(table.label, table.group)
    assert (table.groupby("group").split.nunique() == 1).all()
    by_label = table[table.label != "pair"].groupby("label").split.agg(set)
    alone = table.group.map(split_of_group)
    trained = alone.groupby(table.label).agg(lambda sides: "train" in set(sides))
    assert all({"test", "valid"} <= sides for label, sides in by_label.items() if trained[label])
    assert not [label for label, sides in by_label.items() if trained[label] and "train" not in sides]
    assert any({"test", "valid"} - set(sides) for _, sides in alone.groupby(table.label)), "a case that needs it"
    held = table.split[alone != "train"]
    assert (held != "train").all()
    more = pd.concat([table, table.assign(group=table.group + " more")], ignore_index=True)
    again = split_by_group(more.label, more.group)[: len(table)]
    assert (again[alone != "train"] != "train").all()


def test_a_sample_of_a_store_has_every_label(store):
    by_label = store.with_table(store.table.sort_values("label"))
    train = by_label.split("train")
    assert set(train.sample(20).table.label) == set(train.table.label)
    assert torch.equal(train.sample(20).sounds(), train.sample(20).sounds())
    assert len(train.sample(1000)) == len(train) and not train.sample(len(train)).table.index.equals(train.table.index)
    assert {len(sounds) for sounds in (train.sample(5).sounds(), train.sample(5, 1).sounds())} == {5}


def as_rows(sounds):
    return {sound.numpy().tobytes() for sound in sounds}


def test_the_reference_is_made_of_training_sounds(store):
    train, test = (store.split(*names) for names in (["train"], ["valid", "test"]))
    reference = as_rows(reference_sample(store).sounds())
    assert reference == as_rows(train.sounds(slice(0, len(train))))
    assert not reference & as_rows(test.sounds(slice(0, len(test))))
    assert len(reference_sample(store, 10)) == 10


def test_an_evaluation_compares_the_sets_that_its_rows_name(store, tmp_path, monkeypatch):
    seen = {}

    def noted(sets, reference, embeddings, known, run=None):
        seen.update(sets=sets, reference=reference, known=known)
        return {"generation": [{"sounds": name} for name in sets]}

    def noted_reconstruction(x, y, untrained, same, store):
        seen.update(original=x, reconstructed=y, untrained=untrained, same=same)
        return []

    monkeypatch.setattr(evaluation, "generation_tables", noted)
    monkeypatch.setattr(evaluation, "reconstruction_rows", noted_reconstruction)
    monkeypatch.setattr(evaluation, "save_run_figures", lambda *_: None)
    monkeypatch.setattr(evaluation, "summary_sentences", lambda store, metrics: [f"{len(store.table)}, {min(metrics)}"])
    config = Config.preset("smoke", samples=8)
    run, model = Run.create(tmp_path / "run", config), SampleVAE(config).eval()
    fit_priors(run, store, model)
    evaluate(run, store, model)
    assert json.loads((run / "sentences.json").read_text()) == {"sentences": [f"{len(store)}, generation"]}
    sets, held = seen["sets"], held_out(store).sample(8).sounds()
    reconstructed = reconstruct(model, held)
    assert [*sets] == ["real, held out", "new, spline prior", "new, normal prior", "held out, reconstructed", "noise"]
    assert torch.equal(seen["reference"].sounds(), reference_sample(store).sounds())
    assert set(seen["known"]) == {"real, held out", "held out, reconstructed"}
    assert all(torch.equal(known.sounds(), held) for known in seen["known"].values())
    assert torch.equal(sets["real, held out"], held) and torch.equal(seen["original"], held)
    assert torch.allclose(sets["held out, reconstructed"], reconstructed, atol=1e-5)
    assert torch.allclose(seen["reconstructed"], reconstructed)
    assert not torch.allclose(seen["untrained"], reconstructed, atol=1e-2)
    assert not torch.allclose(reconstructed, held, atol=1e-2)
    with torch.no_grad():
        assert torch.allclose(seen["same"], model.decode(torch.zeros(1, 8))[0, 0], atol=1e-5)
    flow, normal = sets["new, spline prior"], sets["new, normal prior"]
    assert len(flow) == len(normal) == 8 and not torch.allclose(flow, normal, atol=1e-2)


def test_the_same_sounds_score_the_same_wherever_they_come_from(tmp_path):
    "Held-out sounds of a synthesiser's store, and a folder of them that begin later and are softer."
    store = Store.prepare(synthesis_source(400, 0, DRUMS), tmp_path / "store", RATE, SECONDS)
    held = store.split("test", "valid").sample(4000).sounds()
    for name, lead, gain in ("as they are", 0, 1.0), ("others", 700, 0.3):
        (tmp_path / name).mkdir()
        for number, sound in enumerate(held):
            wave = torch.cat([torch.zeros(lead), gain * sound])
            soundfile.write(tmp_path / name / f"{number:03}.wav", wave.numpy(), RATE, "FLOAT")
    run = Run(tmp_path / "out", ScoredRunConfig(sample_rate=RATE, seconds=SECONDS, embedding="mel"))
    (tmp_path / "out").mkdir()
    metrics = compare_sets(run, [tmp_path / "as they are", tmp_path / "others"], store)
    floor, _, same, others, _ = (row["Fréchet ↓"]["value"] for row in metrics["generation by mel"])
    assert same == pytest.approx(floor, abs=0.1) and others == pytest.approx(floor, abs=0.1)


def test_every_embedding_gets_aligned_sounds(store):
    held, seen = store.split("test").sounds(), []
    embedding = embeddings.Embedding("noted", "", lambda x, rate: seen.append(x) or x[:, :8])
    embedding.embed(0.1 * held.roll(300, 1), RATE)
    assert torch.equal(seen[0], align_sounds(0.1 * held.roll(300, 1), RATE))
    assert torch.allclose(seen[0].abs().amax(1), torch.tensor(0.99), atol=1e-5)


# Floors


def grouped_points(seed, count=60, shift=0.0, labels=("a", "b")):
    "Points of `count` groups of five with a middle each, of labels that lie apart."
    generator = np.random.default_rng(seed)
    label = np.array(labels)[np.arange(count) % len(labels)]
    middles = generator.normal(size=(count, 4)) + 8.0 * (label == "b")[:, None] + shift
    points = np.repeat(middles, 5, 0) + 0.3 * generator.normal(size=(5 * count, 4))
    return Points(points, np.repeat([f"{seed} {n}" for n in range(count)], 5), np.repeat(label, 5))


def test_a_larger_set_is_measured_at_the_size_of_the_smallest():
    "So that as many sounds of one kind score alike, however many were generated."
    generator = np.random.default_rng(0)
    real, held, many = (Points.of(generator.normal(size=(n, 24))) for n in (600, 70, 1000))
    floor, new = (scores["Fréchet ↓"] for scores in score_sets({"held": held, "new": many}, real).values())
    naive = score_sets({"new": many}, real)["new"]["Fréchet ↓"]
    assert naive < 0.5 * floor and new == pytest.approx(floor, rel=0.25)
    parts = [Score(np.array([1.0, 0.0, 9.0, 1.0])).clipped(0.0, 2.0)] * 2
    assert (Score.mean(parts), Score.mean(parts).low, Score.mean(parts).high) == (1, 0, 2), "what is possible stays"


def test_halves_are_made_of_whole_groups():
    groups = np.repeat(np.arange(12), [1, 9] * 6)
    masks = group_half_masks(groups, 30, 0)
    assert masks[0].all() and len({mask.tobytes() for mask in masks}) > 10
    assert all(len({*mask[groups == group]}) == 1 for mask in masks for group in range(12))
    assert all(len(groups) / 2 <= mask.sum() < len(groups) / 2 + 9 for mask in masks[1:])
    assert [len(mask) for mask in pair_masks(60, 8, 5, (groups, np.zeros(8)))] == [1, 1], "one group says nothing"
    points = grouped_points(0)
    by_group, by_sound = (
        score_sets({"new": part}, points)["new"]["Fréchet ↓"]
        for part in (grouped_points(1), Points.of(grouped_points(1).points))
    )
    assert by_group == by_sound and by_group.high - by_group > 1.3 * (by_sound.high - by_sound)


def test_the_floor_of_other_splits_holds_out_whole_groups():
    points = grouped_points(0)
    mask = random_groups_mask(points.groups, 52, 3)
    assert mask.sum() == 55 and not {*points.groups[mask]} & {*points.groups[~mask]}
    real, held = points.take(~mask), points.take(mask)
    rows = generation_rows({FLOOR_ROW: held}, real, score_sets({FLOOR_ROW: held}, real))
    assert [row["sounds"] for row in rows] == [FLOOR_ROW, SPLITS_ROW] and rows[0]["groups"] == 11
    splits = rows[1]["Fréchet ↓"]
    assert splits["low"] < splits["value"] < splits["high"]


def test_labels_of_other_shares_are_no_fault_of_the_sounds():
    real, held = grouped_points(0), grouped_points(1, labels=("a", "a", "a", "b"))
    plain, matched = (score_sets({"held": held}, real)["held"][column] for column in ("Fréchet ↓", MATCHED))
    assert plain > 5 * matched
    assert score_sets({"new": Points.of(held.points)}, real)["new"][MATCHED] == "no labels"


def test_a_difference_is_decided_half_by_half():
    real, near = grouped_points(0), grouped_points(1)
    far = Points(near.points + 0.5, near.groups, near.labels)
    scores = score_sets({"near": near, "far": far}, real)
    (row,) = difference_rows(scores, (MATCHED,))
    assert scores["near"][MATCHED].high > scores["far"][MATCHED].low, "the intervals overlap"
    assert row["nearer by Fréchet, labels matched"] == "near"
    assert row["difference"] == "near minus far"
    one = Score(np.array([1.0, 2.0, 3.0, 4.0]))
    few = one.minus(Score(np.array([0.5])))
    assert few == 0.5 and math.isnan(few.low), "without halves of one of them nothing is known"
    assert math.isnan(Score.mean([one, Score(np.array([2.0]))]).low)
    assert one.minus(Score(one.values - 0.5)).low == 0.5, "what both share does not count"


def test_tables_of_sets_with_and_without_labels_can_be_read(store):
    held, train = store.split("test"), store.split("train")
    sets = {FLOOR_ROW: held.sounds(), "their copies": held.sounds(), "new": train.sounds()[:40]}
    known = {FLOOR_ROW: held, "their copies": held}
    tables = generation_tables(sets, train, [embeddings.mel()], known)
    for rows in tables.values():
        assert len({tuple(row) for row in rows}) == 1, "the same columns in each row"
    differences = tables["differences by mel"]
    assert len(readable_rows(differences)) == len({row["difference"] for row in differences}) == 3
    assert [bool(row["Fréchet, labels matched"]) for row in differences] == [True, False, False]
    text = text_table(differences)
    assert all(row["difference"] in text for row in differences)


@pytest.mark.parametrize("case", ["two sounds", "one label", "one group", "the same sounds"])
def test_sets_that_say_little_say_so(store, case):
    held, train = store.split("test"), store.split("train")
    sets = {
        "two sounds": (held.sounds()[:2], None),
        "one label": (held.with_table(held.table.assign(label="kick")),) * 2,
        "one group": (held.with_table(held.table.assign(group="one")),) * 2,
        "the same sounds": (train, train),
    }
    sounds, known = sets[case]
    sounds = sounds if isinstance(sounds, torch.Tensor) else sounds.sounds()
    tables = generation_tables({"set": sounds}, train, [embeddings.mel()], {"set": known} if known else {})
    (row,) = tables["generation by mel"]
    if case == "two sounds":
        assert row["Fréchet ↓"] == row["KID ↓"] == "too few"
    elif case == "one label":
        assert row[MATCHED] == "no labels" and row["Fréchet ↓"]["value"] > 0
    elif case == "one group":
        assert row["groups"] == 1 and math.isnan(row["Fréchet ↓"]["low"])
    else:
        assert abs(row["Fréchet ↓"]["value"]) < 1e-6 and row["precision ↑"]["value"] == 1


def test_drumnet_learns_from_training_sounds_and_is_tested_on_others(store, tmp_path, monkeypatch):
    seen = {}

    def noted(levels, targets, steps=300, run=None, fit=embeddings.fit_drumnet):
        seen.update(levels=levels, targets=targets)
        return fit(levels, targets, 2, run)

    monkeypatch.setattr(embeddings, "fit_drumnet", noted)
    make_drumnet(store, tmp_path / "drumnet.safetensors")
    levels, labels = log_mel_of_store(store.split("train"))
    assert torch.equal(seen["levels"], levels)
    names = sorted(set(labels))
    assert [names[target] for target in seen["targets"].tolist()] == labels.tolist()


def test_copies_of_any_training_sound_are_found(store):
    train, held = (store.split(name).sounds(slice(0, 200)) for name in ("train", "test"))
    torch.manual_seed(0)
    others = synthesise(draw(torch.arange(500, 530), 9, DRUMS), RATE, SECONDS)
    copies, softer, new = novelty_rows({"copies": train, "softer": 0.5 * train, "new": others}, train, held, RATE)
    assert copies["training sounds compared"] == len(train)
    assert softer["copies by fingerprint"] > 0.6 * len(train)
    assert copies["copies by fingerprint"] > 0.6 * len(train) and new["copies by fingerprint"] < 0.2 * len(others)
    assert copies["memorised (0.5: fair)"]["value"] > 0.9 > new["memorised (0.5: fair)"]["value"]


def test_training_vectors_count_as_copies_and_new_ones_do_not(store, tmp_path, monkeypatch):
    "By the tables of an evaluation, whose priors here draw training vectors, and vectors of held-out sounds."
    torch.manual_seed(0)
    model, config = SampleVAE(Config.preset("smoke")).eval(), Config.preset("smoke", samples=16)
    points, held = (encode_posteriors(model, part).points() for part in (store.split("train"), held_out(store)))
    drawn = {"copies": points, "far": 5 + held.repeat(4, 1)}
    priors = {kind: SimpleNamespace(sample=lambda shape, seed, z=z: z[: shape[0]]) for kind, z in drawn.items()}
    monkeypatch.setattr(evaluation, "load_priors", lambda run: priors)
    tables = evaluation.latent_novelty_rows(Run.create(tmp_path / "run", config), model, store)
    copies, far = (row["memorised (0.5: fair)"]["value"] for row in tables["novelty of vectors"])
    assert copies == 1 and far < 0.1
    exact, _, noisy = tables["novelty of vectors, with planted copies"]
    assert exact["100% copies"]["value"] == 1 > noisy["100% copies"]["value"]


def test_a_dimension_that_says_nothing_does_not_hide_copies():
    generator = np.random.default_rng(0)
    means, held, fresh = (generator.normal(size=(n, 2)) for n in (200, 200, 200))
    stds = np.tile([0.001, 30.0], (200, 1))
    means[:, 1] = 0  # all that is known of it is noise
    held, copies = held + [0, 1] * (30 * fresh), means + [0, 1] * (30 * fresh[::-1])
    assert latent_novelty(means, stds, held, copies) > 0.8


def test_generated_sounds_are_those_of_the_sampled_vectors(batch):
    model, prior = SampleVAE(Config.preset("smoke", noise_bands=0)).eval(), NormalPrior(8, 2)
    vectors = prior.sample((3,), 0.5, seed=7)
    with torch.no_grad():
        sounds = model.decode(vectors[:, 2:], vectors[:, :2], 1)[:, 0]
    limited = sounds / sounds.abs().amax(1, keepdim=True).clamp(min=1)
    assert torch.allclose(generate(model, prior, 3, 7, 0.5), limited, atol=1e-6)


def test_phases_take_the_sounds_of_their_step(store):
    config = Config.preset("smoke")
    train = store.split("train")
    seen = [phases.training_batch(train, config, step) for step in range(len(train) // 8)]
    rows = [row.numpy().tobytes() for x in seen for row in x[:, 0]]
    assert len(rows) == len({*rows}) and {*rows} <= as_rows(train.sounds(slice(0, len(train)))), "a pass repeats none"


@pytest.mark.parametrize(("course", "said"), [([3.0, 1.0, 2.0], True), ([3.0, 2.0, 1.0], False)])
def test_a_better_model_on_the_way_is_kept_and_said(store, tmp_path, monkeypatch, course, said):
    values = iter(course)
    monkeypatch.setattr(monitoring, "reconstruction_energy_distance", lambda model, x: next(values))
    run, config = Run.create(tmp_path / "run", Config.preset("smoke")), Config.preset("smoke")
    monitor = monitoring.Monitor(run, store, 0, 3, make_fabric(config))
    for step in range(3):
        monitor.validate(step, SampleVAE(config))
    warnings = monitor.close()
    assert bool(warnings) == said and ("at step 1 (1.00, in the end 2.00)" in "".join(warnings)) == said
    kept = json.loads((run / "best/model.json").read_text())
    assert kept["step"] == int(np.argmin(course)) and kept["valid_distance"] == 1.0


def test_a_mean_has_its_interval_and_leaves_out_what_is_not_known():
    values = torch.cat([torch.arange(40.0), torch.tensor([math.nan] * 2)])
    score = evaluation.mean_with_interval(values, np.arange(42) // 2).as_dict()
    assert score["value"] == 19.5 and score["low"] < 18 and 21 < score["high"]
    alone = evaluation.mean_with_interval(torch.tensor([3.0, math.nan]), np.arange(2))
    assert float(alone) == 3 and math.isnan(alone.as_dict()["high"])


def test_the_nearest_training_sound_stands_after_each_new_one(store):
    train = store.split("train").sounds()
    new = torch.cat([0.3 * torch.randn(2, train.shape[1]), train[3:5]])
    pairs, names = evaluation.closest_pairs(new, train, RATE, most=2)
    assert {row.numpy().tobytes() for row in pairs[::2]} == {row.numpy().tobytes() for row in train[3:5]}
    assert torch.equal(pairs[::2], pairs[1::2])
    assert names == ["new 1", "nearest 1", "new 2", "nearest 2"]


def test_held_out_vectors_are_drawn_from_their_posteriors(store, tmp_path, monkeypatch):
    seen = {}

    def noted(means, stds, held, z):
        seen.update(held=held)
        return Score([0.5], held)

    means, stds, model = torch.full((500, 4), 7.0), torch.full((500, 4), 2.0), SampleVAE(latent=4, harmonics=0)
    monkeypatch.setattr(evaluation, "encode_posteriors", lambda *_: EncodedSounds.from_moments(means, stds))
    monkeypatch.setattr(evaluation, "load_priors", lambda run: {"normal": NormalPrior(4)})
    monkeypatch.setattr(evaluation, "latent_novelty", noted)
    monkeypatch.setattr(evaluation, "planted_copies", lambda *_: [])
    evaluation.latent_novelty_rows(Run.create(tmp_path / "run", Config.preset("smoke")), model, store)
    assert abs(seen["held"].mean() - 7) < 0.2 and abs(seen["held"].std() - 2) < 0.2


def test_what_a_run_saves_to_hear_has_the_right_names(store, tmp_path):
    held, reference = store.split("test").sounds(), store.split("train").sounds()
    flow, normal, reconstructed = (torch.rand(20, held.shape[1]) - 0.5 for _ in range(3))
    new = {"new, spline prior": flow, "new, normal prior": normal}
    run = Run.create(tmp_path / "run", Config.preset("smoke"))
    evaluation.save_run_figures(run, reference, held, new, reconstructed)
    expected = {
        "01-new_sounds,_spline_prior/02-spline_2": flow[1],
        "02-new_sounds,_normal_prior/12-normal_12": normal[11],
        "03-held-out_sounds_and_reconstructions/01-original_1": held[0],
        "03-held-out_sounds_and_reconstructions/04-reconstruction_2": reconstructed[1],
    }
    for name, sound in expected.items():
        saved = torch.from_numpy(soundfile.read(tmp_path / f"run/sounds/{name}.wav", dtype="float32")[0])
        assert torch.allclose(saved, sound, atol=1e-3), name
    nearest = sorted(path.name for path in (tmp_path / "run/sounds/04-nearest_to_training_sounds").glob("*.wav"))
    assert len(nearest) == 12 and nearest[1] == "02-nearest_1.wav"


@pytest.mark.parametrize(("samples", "few"), [(8, False), (64, True)])
def test_few_held_out_sounds_are_said(store, tmp_path, monkeypatch, samples, few):
    for name in ("save_run_figures", "latent_novelty_rows", "novelty_rows", "reconstruction_rows", "summary_sentences"):
        monkeypatch.setattr(evaluation, name, lambda *_: {})
    monkeypatch.setattr(evaluation, "generation_tables", lambda *_: {})
    monkeypatch.setattr(evaluation, "generate_from_priors", lambda run, model: {})
    run = Run.create(tmp_path / "run", Config.preset("smoke", samples=samples))
    held = held_out(store).sample(samples)
    assert (len(held) < samples) == few
    evaluate(run, store, SampleVAE(run.config).eval())
    warnings = [said for said in run.warnings if "held-out sounds beside" in said]
    assert bool(warnings) == few and all(f"only {len(held)} " in said for said in warnings)


def test_the_density_of_the_flow_is_one_over_what_it_stretches():
    torch.manual_seed(0)
    means, stds = 3 + 5 * torch.randn(400, 2), torch.full((400, 2), 0.5)
    flow = fit_flow(FlowPrior, EncodedSounds.from_moments(means, stds), 2)
    both = (means.var(0, correction=0) + 0.25).sqrt()
    assert torch.allclose(flow.scale, both, rtol=0.05) and torch.allclose(flow.mean, means.mean(0), atol=0.1)
    z = means[:3]
    jacobian = torch.func.vmap(torch.func.jacrev(lambda one: flow.to_base(one[None])[0]))(z)
    base = NormalPrior(2).log_prob(flow.to_base(z))
    with torch.no_grad():
        assert torch.allclose(flow.log_prob(z), base + jacobian.det().abs().log(), atol=1e-4)


def test_a_prior_that_is_not_known_is_guessed(tmp_path):
    with pytest.raises(Refused, match="did you mean .spline"):
        load_prior(tmp_path, "splin")


def test_a_run_that_is_not_trained_is_trained_when_its_model_is_needed(store, tmp_path, monkeypatch):
    run, seen = Run.create(tmp_path / "run", Config.preset("smoke")), []

    def noted(run, store):
        seen.append((run, store))
        SampleVAE(run.config).save_pretrained(run / "vae")

    monkeypatch.setattr(training, "prepare_store", lambda run: store)
    monkeypatch.setattr(training, "train", noted)
    for _ in range(2):
        assert isinstance(training.load_model(run), SampleVAE)
    assert seen == [(run, store)]


def test_directions_are_counted_until_their_share_is_reached(store, monkeypatch):
    means = torch.randn(4000, 5) * torch.tensor([10.0, 10.0, 2.0, 0.5, 0.01])
    kl = torch.full((4000, 5), 0.2)
    monkeypatch.setattr(training, "encode_points_and_kl", lambda model, x: (means, kl, kl.sum(1)))
    monkeypatch.setattr(training, "reconstruct", lambda model, x: x)
    row = training.training_summary(None, store)
    assert (row["directions for 95%"], row["directions for 99%"]) == (2, 3)
    assert row["active dimensions"] == 5 and row["nats"] == pytest.approx(1)


def test_too_few_sounds_are_counted_on_both_sides(store):
    few = store.with_table(store.table.iloc[:4])
    train = len(few.split("train"))
    with pytest.raises(Refused, match=rf"{train} sounds to train on, where 8 are needed, and {4 - train} held out"):
        training.require_enough_sounds(few, Config.preset("smoke"))


def test_figures_stand_side_by_side_and_show_what_is_there(store):
    torch.manual_seed(0)
    means = torch.randn(64, 4) * torch.tensor([1.0, 0.1, 3.0, 0.1])
    config = Config.preset("smoke")
    figures = {
        "latents": plot_latents(means, {"normal": torch.randn(64, 4)}),
        "usage": training.plot_latent_usage(SampleVAE(config).eval(), store),
        "map": evaluation.plot_map({"real": means.numpy(), "new": means.numpy() + 1}),
        "store": plot_store(store),
    }
    for name, figure in figures.items():
        first, *others = figure.axes
        assert all(axis.get_subplotspec().rowspan == first.get_subplotspec().rowspan for axis in others), name
    assert np.allclose(figures["latents"].axes[0].collections[0].get_offsets(), means[:, [2, 0]])
    nats, fidelity = figures["usage"].axes
    assert len(nats.patches) == 8 and fidelity.lines[0].get_ydata()[-1] == pytest.approx(1)
    assert fidelity.lines[0].get_xdata().tolist() == list(range(1, 9))
    plt.close("all")


def test_every_mutant_still_finds_its_place():
    assert len(listed_changes()) == len(LIST)


@pytest.mark.parametrize("names", [("train", "held"), ("sounds", "number")])
def test_names_of_folders_change_no_number(store, names):
    train, held = (store.split(name).sounds() for name in ("train", "test"))
    torch.manual_seed(0)
    others = synthesise(draw(torch.arange(500, 530), 9, DRUMS), RATE, SECONDS)
    odd, plain = (novelty_rows({name: others for name in pair}, train, held, RATE) for pair in (names, ("a", "b")))
    for row, expected in zip(odd, plain, strict=True):
        assert {**row, "sounds": ""} == {**expected, "sounds": ""}
    kinds = [SoundSet(name, others, []) for name in (*names, "real", "noise", names[0])]
    unique = [*unique_names(kinds)]
    assert len({*unique}) == 5 and not {"sounds", "number", "real", "noise"} & {*unique}


def test_checkpoints_wait_for_their_time_and_each_phase_counts_from_0(store, tmp_path, monkeypatch):
    saved, numbers = [], []
    monkeypatch.setattr(training, "save_checkpoint", lambda run, networks, phase, step: saved.append(step))
    for kind in RepresentationPhase, AdversarialPhase:

        def noted(self, x, step, inner=kind.step):
            numbers.append((type(self), step))
            return inner(self, x, step)

        monkeypatch.setattr(kind, "step", noted)
    changes = {"steps": 3, "adversarial_steps": 2, "save_every": 1000.0, "discriminator_width": 4}
    training.train(Run.create(tmp_path / "run", Config.preset("smoke", **changes)), store)
    assert numbers == [(RepresentationPhase, n) for n in range(3)] + [(AdversarialPhase, n) for n in range(2)]
    assert not saved, "it is not yet time"
    (sounds,) = json.loads((tmp_path / "run/vae/model.json").read_text())["sounds"]
    assert sounds["sounds"] == len(store) and sounds["licence"] == "not named", "whose sounds it learned"


def test_reconstructions_stand_beside_another_sound_and_silence(store):
    x = store.split("train").sounds(slice(0, 12))
    rows = evaluation.reconstruction_rows(x, x, 0 * x, x[0], store.with_table(store.table.iloc[:12]))
    distance = {row["held-out sounds against"]: row["log-mel, dB"]["value"] for row in rows}
    assert distance["their reconstructions"] < 1e-6 < 1 < distance["another real sound"] < distance["silence"]
    assert distance["those of an untrained model"] == distance["silence"]


def test_windows_count_less_once_they_begin_after_the_end():
    x = torch.zeros(1, 256)
    x[:, :100] = 0.5
    by_frame, _ = spectral_weights(x, 64, 0.5)  # frame k begins at 16 k - 32
    assert by_frame.shape == (1, 17) and (by_frame[0, :9] == by_frame[0, 0]).all()
    assert torch.allclose(by_frame[0, 9:], by_frame[0, :1] / 2)


def test_a_pair_of_peaks_knows_which_is_the_first(monkeypatch):
    keys = []
    for peaks in ([0, 5], [3, 9]), ([0, 9], [3, 5]), ([0, 5], [4, 9]):
        monkeypatch.setattr(novelty, "spectrogram_peaks", lambda sound, rate, peaks=peaks: np.array(peaks))
        keys.append(novelty.landmarks(torch.zeros(10), RATE)[0].item())
    assert len({*keys}) == 3


def test_pitches_that_repeat_get_a_spread():
    torch.manual_seed(0)
    sounds = EncodedSounds.from_moments(torch.randn(200, 3), torch.full((200, 3), 0.1), torch.ones(200, 2))
    joint = PRIORS["gaussian"].fit(sounds, Config.preset("smoke")).joint
    spreads = (joint.factor[0] @ joint.factor[0].T).diagonal()[:2].sqrt()
    assert 0.018 < spreads[0] < 0.03 and 0.18 < spreads[1] < 0.22, "pitches hardly, confidences by 0.2"


def test_rare_draws_are_waited_for():
    torch.manual_seed(0)
    prior = NormalPrior(3)
    prior.remember_typical(torch.randn(2000, 3))
    rows = prior.sample((64,), truncation=0.98, seed=0)
    assert rows.shape == (64, 3) and (prior.typicality(rows) >= 0.98).all()


@pytest.mark.parametrize("floor", [True, False])
def test_sentences_take_their_numbers_from_the_rows_that_they_name(store, floor):
    numbers = {"another real sound": 9.5, "their reconstructions": 2.5, "silence": 50.0}
    back = [
        {"held-out sounds against": name, "log-mel, dB": {"value": dB}, "pitch, semitones": {"value": 10 * dB}}
        for name, dB in numbers.items()
    ]
    distances = {"new, mixture prior": 3.0, CEILING_ROW: 700.0} | ({FLOOR_ROW: 1.5} if floor else {})
    new = [{"sounds": name, "Fréchet ↓": {"value": value}} for name, value in distances.items()]
    some = store.with_table(store.table.assign(label=[*store.table.label[:-5], *[""] * 5]))
    said = evaluation.summary_sentences(some, {"generation by mel": new, "reconstruction": back})
    assert "of 3 labels" in said[0] and "2.5 dB off" in said[1] and "9.5 dB off" in said[1] and "25.0" in said[1]
    assert len(said) == 2 + floor and ("3 from real ones" in said[-1]) == floor


@pytest.mark.parametrize(("count", "shown"), [(12, 12), (16, 14)])
def test_the_best_come_first_and_the_worst_last_and_none_twice(store, count, shown):
    real = np.random.default_rng(0).normal(size=(60, 3))
    points = np.outer(np.arange(count), np.ones(3))  # ever farther away
    figure = evaluation.plot_best_and_worst(store.sounds(slice(0, count)), real, points, RATE, most=7)
    titles = [float(axis.get_title()) for axis in figure.axes if axis.get_title()]
    assert len(titles) == shown and titles == sorted(titles, reverse=True)
    plt.close("all")


def test_attributes_are_where_the_energy_is_in_time_and_pitch():
    power = torch.zeros(3, 20, 33)
    for number, (frame, place) in enumerate([(0, 1), (7, 3), (15, 31)]):
        power[number, frame, place] = 2.0 + number
    assert torch.allclose(ATTRIBUTES["length"](power), torch.tensor([0.0, 7, 15]))
    assert torch.allclose(ATTRIBUTES["brightness"](power), torch.tensor([1.0, 2, 5]))


def test_the_truth_is_the_first_of_a_pair_that_is_compared(monkeypatch):
    x, y = torch.arange(12.0)[:, None], torch.zeros(12, 1)
    monkeypatch.setattr(training, "reconstruction_metrics", lambda x, y, rate: {"spectral distance": (x - 2 * y)[:, 0]})
    assert training.best_and_worst_reconstructions(x, y, RATE, 2) == [0, 1, 10, 11]


@pytest.mark.parametrize(("count", "enough"), [(2 * MIN_POINTS - 1, False), (2 * MIN_POINTS, True)])
def test_labels_are_matched_where_each_half_is_large_enough(count, enough):
    values, labels = np.random.default_rng(0).normal(size=(count, 2)), np.array(["a", "b"] * count)[:count]
    points = Points(values, np.arange(count).astype(str), labels)
    assert (label_matched_frechet(points, points) == "no labels") != enough


def test_a_capacity_is_what_a_vector_should_use():
    kl = torch.full((2, 3), 1.5)
    assert [kl_objective(kl, capacity=nats).item() for nats in (0.0, 2.0, 7.0)] == [4.5, 2.5, 2.5]
