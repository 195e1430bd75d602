"Distributions: what a posterior and a prior promise, whatever their kind."

import math
from dataclasses import replace

import pytest
import torch

from samplevae.config import Config
from samplevae.dataset import prepare_store
from samplevae.flows import POSTERIORS, FlowPosterior, GaussianPosterior, PlanarTransform, moments, standard_log_prob
from samplevae.mixtures import GaussianPrior, MixturePrior, NormalPrior, fit_classifier
from samplevae.novelty import latent_novelty
from samplevae.phases import RepresentationPhase, TrainConfig, loss_terms, make_fabric
from samplevae.prior import (
    PRIORS,
    FlowMatchingPrior,
    PriorConfig,
    fit_flow,
    fit_priors,
    generate,
    load,
    load_prior,
    save_prior,
)
from samplevae.rates import rate
from samplevae.runs import Run
from samplevae.settings import Refused
from samplevae.training import train
from samplevae.vae import SampleVAE
from samplevae.vectors import EncodedSounds, Mixture, fit_mixture, set_aside

each_posterior = pytest.mark.parametrize("kind", POSTERIORS)
each_prior = pytest.mark.parametrize("kind", PRIORS)


def make_posterior(kind, latent=3, batch=4, strength=1.0):
    "A posterior of random parameters, that bends, in double precision."
    torch.manual_seed(0)
    make = POSTERIORS[kind](latent).double()
    with torch.no_grad():
        for weight in make.parameters():
            weight += 0.3 * strength * torch.randn_like(weight)
    sizes = latent, latent, make.context
    return make(*(torch.randn(batch, size, dtype=torch.double) for size in sizes))


def two_kinds(count=600, pitch=True):
    "Sounds of two labels: one low and at the left, the other high and at the right, with posteriors that are narrow."
    torch.manual_seed(0)
    side = torch.arange(count) % 2
    means = torch.stack([3.0 * side - 1.5 + 0.4 * torch.randn(count), 0.7 * torch.randn(count)], 1)
    pitches = torch.stack([side - 0.5 + 0.1 * torch.randn(count), torch.ones(count)], 1)
    encoded = EncodedSounds.from_moments(means, torch.full_like(means, 0.1), pitches if pitch else None)
    return encoded, ["low" if not s else "high" for s in side.tolist()]


@pytest.fixture(scope="module")
def fitted():
    "Every kind of prior, fitted to two kinds of sounds: with pitches, and without."
    found = {}
    for pitch in True, False:
        sounds, labels = two_kinds(pitch=pitch)
        classifier = fit_classifier(sounds, labels, 100)
        for kind, make in PRIORS.items():
            prior = make.fit(sounds, PriorConfig(prior_steps=150, flow_layers=2))
            prior.classifier = classifier
            prior.remember_typical(sounds.take(slice(0, 200)).draw())
            found[kind, pitch] = prior
    return found


# Posteriors


@each_posterior
def test_the_density_of_a_posterior_is_one_over_what_it_stretches(kind):
    "By autograd: the Jacobian of the way from noise to vector."
    posterior = make_posterior(kind)
    z = posterior.rsample()
    known = posterior.log_prob(z)
    assert torch.allclose(posterior.log_prob(z.clone()), known, atol=1e-8), "the density that was kept is the density"
    if not isinstance(posterior, FlowPosterior):
        return
    noise = posterior.flow.inv((z - posterior.mean_of_base) / posterior.std)

    def as_vector(noise):
        return posterior.mean_of_base + posterior.std * posterior.flow(noise)

    assert torch.allclose(as_vector(noise), z, atol=1e-8)
    jacobian = torch.autograd.functional.jacobian(as_vector, noise)  # (B, N, B, N)
    own = jacobian[torch.arange(4), :, torch.arange(4)]
    assert torch.allclose(standard_log_prob(noise) - own.det().abs().log(), known, atol=1e-6)


@each_posterior
def test_the_probability_of_a_posterior_sums_to_one(kind):
    posterior = make_posterior(kind, latent=2, batch=1, strength=0.3)
    middle, spread = moments(posterior, 2000) if kind not in ("gaussian", "full") else moments(posterior)
    span = torch.linspace(-12, 12, 500, dtype=torch.double)
    places = middle[0] + spread[0].max() * torch.cartesian_prod(span, span)
    with torch.no_grad():
        total = posterior.log_prob(places[:, None]).exp().sum() * (spread[0].max() * (span[1] - span[0])) ** 2
    assert abs(total - 1) < 0.02


@each_posterior
def test_draws_of_a_posterior_lie_where_its_density_says(kind):
    "The mean of q(z) / p(z) over draws from p is 1, for any q that p covers: here a narrow Gaussian around the point."
    posterior = make_posterior(kind, latent=2, batch=3, strength=0.3)
    point, spread = posterior.point(), moments(posterior, 500)[1]
    narrow = GaussianPosterior(point, 0.3 * spread.detach())
    with torch.no_grad():
        z = posterior.rsample((40_000,))
        ratio = (narrow.log_prob(z) - posterior.log_prob(z.clone())).exp()
    error = ratio.std(0) / math.sqrt(len(z))
    assert ((ratio.mean(0) - 1).abs() < 5 * error + 0.01).all() and error.max() < 0.1


@each_posterior
def test_the_kl_of_a_posterior_is_what_draws_say(kind):
    posterior, prior = make_posterior(kind), NormalPrior(3)
    z = posterior.rsample((20_000,))
    drawn = (posterior.log_prob(z) - standard_log_prob(z)).mean(0)
    if kind in ("gaussian", "deep", "full"):
        assert torch.allclose(posterior.kl(z[0]), drawn, rtol=0.05)
    else:
        assert torch.allclose(posterior.kl(z).mean(0), drawn)
    assert torch.allclose(posterior.kl(z[0], prior), posterior.log_prob(z[0]) - prior.log_prob(z[0])), (
        "any prior will do"
    )


@each_posterior
def test_far_from_its_middle_a_posterior_is_unlikely_and_finite(kind):
    posterior = make_posterior(kind)
    far = posterior.point() + 50.0
    with torch.no_grad():
        assert posterior.log_prob(far).isfinite().all()
        assert (posterior.log_prob(far) < posterior.log_prob(posterior.point().clone())).all()


@each_posterior
def test_a_posterior_begins_near_a_gaussian_and_its_gradient_reaches_everything(kind):
    torch.manual_seed(0)
    make, sizes = POSTERIORS[kind](4), (4, 4, POSTERIORS[kind](4).context)
    parameters = [torch.zeros(2, size, requires_grad=True) for size in sizes]
    posterior = make(*parameters)
    plain = GaussianPosterior(posterior.point().detach(), moments(posterior, 4000)[1].detach())
    z = posterior.rsample((2000,)).detach()
    assert (posterior.log_prob(z) - plain.log_prob(z)).abs().mean() < 0.05
    posterior = make(*(0.1 * torch.randn(2, size, requires_grad=True) for size in sizes))
    parameters = [torch.randn(2, size, requires_grad=True) for size in sizes]
    posterior = make(*parameters)
    (posterior.kl(z := posterior.rsample()).sum() + z.square().sum()).backward()
    assert all(p.grad.abs().sum() > 0 for p in [*make.parameters(), *(p for p in parameters if p.numel())])


@each_posterior
def test_a_model_with_any_posterior_trains_is_saved_and_loaded(kind, tmp_path):
    run = Run.create(tmp_path / "run", Config.preset("smoke", posterior=kind, num_clips=40))
    store = prepare_store(run)
    model = train(run, store)
    again, x = SampleVAE.from_pretrained(run / "vae"), store.sounds(slice(0, 3))[:, None]
    with torch.no_grad():
        assert torch.allclose(again.encode(x).point(), model.encode(x).point(), atol=1e-4)
        alone = again.encode(x[1:2]).point()
    assert torch.allclose(alone, again.encode(x).point()[1:2], atol=1e-4), "a sound does not depend on its batch"
    fit_priors(run, store, again)
    assert generate(*load(run.path), 2).isfinite().all()
    train(run, store)
    assert not (run / "prior").exists(), "a prior of other weights goes with them"


def test_posteriors_that_cannot_be_are_refused():
    with pytest.raises(Refused, match="posterior' iaf is for single vectors"):
        SampleVAE(posterior="iaf", latent_shape="sequence")
    with pytest.raises(Refused, match="full takes at most 512"):
        SampleVAE(posterior="full", latent=600)
    with pytest.raises(Refused, match="did you mean 'spline'"):
        SampleVAE(posterior="splin")


# Mixtures


def make_mixture(full):
    torch.manual_seed(0)
    mixture = Mixture(4, 3, full).double()
    mixture.weight.copy_(torch.rand(4).softmax(0)), mixture.mean.normal_()
    factor = torch.eye(3).repeat(4, 1, 1) * (0.3 + torch.rand(4, 3, 1)) + torch.randn(4, 3, 3).tril(-1)
    mixture.factor.copy_(factor if full else 0.3 + torch.rand(4, 3))
    return mixture


@pytest.mark.parametrize("full", [True, False])
def test_a_mixture_is_what_torch_says_and_is_read_both_ways(full):
    mixture, x = make_mixture(full), torch.randn(50, 3, dtype=torch.double)
    triangle = mixture.factor if full else torch.diag_embed(mixture.factor)
    parts = torch.distributions.MultivariateNormal(mixture.mean, scale_tril=triangle)
    theirs = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(mixture.weight), parts)
    assert torch.allclose(mixture.log_prob(x), theirs.log_prob(x))
    base = mixture.to_base(x)
    assert torch.allclose(mixture.from_base(base), x, atol=1e-6)
    assert torch.allclose(mixture.from_base(base[:, 1:], x[:, :1]), x, atol=1e-6), "with the first number known"
    jacobian = torch.func.vmap(torch.func.jacrev(lambda one: mixture.to_base(one[None])[0]))(x)
    assert torch.allclose(standard_log_prob(base) + jacobian.det().abs().log(), mixture.log_prob(x), atol=1e-5)


@pytest.mark.parametrize("full", [True, False])
def test_what_a_mixture_draws_after_a_known_number_has_that_density(full):
    mixture = make_mixture(full)
    known = torch.full((40_000, 1), 0.4, dtype=torch.double)
    drawn = mixture.draw_after(known)
    read = mixture.from_base(torch.randn(40_000, 2, dtype=torch.double), known)[:, 1:]
    assert torch.allclose(drawn.mean(0), read.mean(0), atol=0.05) and torch.allclose(
        drawn.std(0), read.std(0), rtol=0.05
    )
    assert mixture.draw_after(known, 0.0).std(0).min() > 0.1, "the components stay apart, and their noise goes"


def test_sounds_are_set_aside_in_whole_groups():
    sounds = two_kinds(300)[0]
    alone = set_aside(sounds, 0.1)
    assert alone.sum() == 30 and not torch.equal(alone, set_aside(sounds, 0.1, seed=1))
    grouped = replace(sounds, groups=torch.arange(300) // 7)
    aside = set_aside(grouped, 0.1)
    assert 20 < aside.sum() <= 30 and not {*grouped.groups[aside].tolist()} & {*grouped.groups[~aside].tolist()}
    assert torch.equal(grouped.take(aside).groups, grouped.groups[aside])
    assert set_aside(replace(sounds, groups=torch.arange(300) // 100), 0.1).sum() == 30, "no group is so small"
    assert set_aside(sounds.take(slice(0, 3)), 0.1).sum() == 0


def test_a_fit_stops_before_it_knows_the_hits_of_its_drums_by_heart():
    "Forty drums with fifteen hits each: what a flow learns of single drums is of no use for others."
    torch.manual_seed(0)
    drums = torch.randn(40, 6).repeat_interleave(15, 0)
    hits = EncodedSounds.from_moments(drums + 0.03 * torch.randn(600, 6), torch.full((600, 6), 0.03))
    others = EncodedSounds.from_moments(torch.randn(200, 6), torch.full((200, 6), 0.03))
    known = replace(hits, groups=torch.arange(600) // 15)
    costs = [rate(fit_flow(FlowMatchingPrior, sounds, 1500), others)[0] for sounds in (hits, known)]
    assert costs[1] < costs[0] - 1, costs


def test_a_mixture_has_as_many_gaussians_as_are_likeliest():
    torch.manual_seed(0)
    points = torch.cat([0.1 * torch.randn(300, 2), 3 + 0.1 * torch.randn(300, 2)])
    assert len(fit_mixture(points, [1, 2, 32]).weight) == 2
    assert len(fit_mixture(points[:5], [1, 2, 32]).weight) <= 2, "never more than there are points"
    assert len(fit_mixture(points[:1].repeat(2, 1), [1, 2, 32]).weight) == 1


# Priors


@pytest.mark.parametrize("pitch", [True, False], ids=["pitch", "none"])
@each_prior
def test_the_probability_of_a_prior_sums_to_one_given_any_pitch(kind, pitch, fitted):
    prior, axis = fitted[kind, pitch], torch.linspace(-5, 5, 101)
    places = torch.cartesian_prod(axis, axis)
    for where in (-0.5, 0.5) if pitch else (0.0,):
        given = torch.tensor([[where, 1.0]]).expand(len(places), 2)[:, : 2 * pitch]
        with torch.no_grad():
            total = prior.log_prob_given(places, given).exp().sum() * (axis[1] - axis[0]) ** 2
        assert abs(total - 1) < (0.05 if kind != "flow-matching" else 0.1)


def test_a_mixture_draws_each_kind_as_often_as_it_is_there():
    "Tonal sounds, all of confidence 1, and others, of which two in five have it, too: the first must not win all of these."
    torch.manual_seed(0)
    tonal = torch.arange(1000) % 2 == 0
    means = torch.where(tonal, 3.0, -3.0)[:, None] + torch.randn(1000, 4)
    confidence = torch.where(tonal | (torch.rand(1000) < 0.4), 1.0, torch.rand(1000))
    pitch = torch.stack([torch.randn(1000), confidence], 1)
    prior = MixturePrior.fit(EncodedSounds.from_moments(means, torch.full_like(means, 0.1), pitch), PriorConfig())
    drawn = prior.sample((2000,), seed=0)[:, 2] > 0
    assert abs(drawn.double().mean() - 0.5) < 0.1


@pytest.mark.parametrize("pitch", [True, False], ids=["pitch", "none"])
@each_prior
def test_a_prior_leads_to_its_base_and_back(kind, pitch, fitted):
    prior = fitted[kind, pitch]
    torch.manual_seed(0)
    base = torch.randn(20, sum(prior.numbers))
    with torch.no_grad():
        again = prior.to_base(prior.from_base(base))
    off = (again - base)[:, 2 * pitch :].abs()
    assert off.max() < (2e-2 if kind == "flow-matching" else 5e-3), "the pitch may have been moved into its bounds"


@pytest.mark.parametrize("kind", ["realnvp", "maf", "spline", "flow-matching", "mixture", "gaussian"])
def test_the_density_of_a_prior_is_one_over_what_it_stretches(kind, fitted):
    prior, pitch = fitted[kind, True], torch.tensor([[0.4, 1.0]]).expand(5, 2)
    torch.manual_seed(0)
    z = prior.latent_from_base(torch.randn(5, 2), pitch).detach()
    to_base = lambda one, c: prior.latent_to_base(one[None], c[None])[0]  # noqa: E731
    jacobian = torch.func.vmap(torch.func.jacrev(to_base))(z, pitch)
    expected = standard_log_prob(prior.latent_to_base(z, pitch)) + jacobian.det().abs().log()
    assert torch.allclose(prior.log_prob_given(z, pitch), expected, atol=2e-2 if kind == "flow-matching" else 2e-3)


@pytest.mark.parametrize("pitch", [True, False], ids=["pitch", "none"])
@each_prior
def test_what_a_prior_draws_is_where_its_density_says(kind, pitch, fitted):
    "As for posteriors: the mean of q / p over draws of p is 1, for a q that p covers."
    prior, c = fitted[kind, pitch], torch.tensor([[0.5, 1.0]])[:, : 2 * pitch]
    torch.manual_seed(0)
    count = 3000
    with torch.no_grad():
        z = prior.draw_given(c.expand(count, -1))
        middle = torch.tensor([1.5, 0.0]) if kind != "normal" else torch.zeros(2)
        narrow = torch.distributions.Independent(torch.distributions.Normal(middle, torch.tensor([0.25, 0.4])), 1)
        ratio = (narrow.log_prob(z) - prior.log_prob_given(z, c.expand(count, -1))).exp()
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / math.sqrt(count) + 0.03


@each_prior
def test_every_prior_but_the_normal_knows_where_the_sounds_are(kind, fitted):
    held, _ = two_kinds()
    rows = held.take(slice(0, 300)).draw()
    with torch.no_grad():
        nats = {name: prior.log_prob(rows).mean().item() for (name, pitch), prior in fitted.items() if pitch}
    if kind == "normal":
        assert nats["normal"] == min(nats.values())
    else:
        assert nats[kind] > nats["normal"] + 0.3 and nats[kind] > nats["gaussian"] - 0.3


@each_prior
def test_a_pitch_that_is_asked_for_is_given_and_heeded(kind, fitted):
    prior = fitted[kind, True]
    low, high = (prior.sample((300,), pitch=hertz, seed=0) for hertz in (128.0, 512.0))
    assert torch.allclose(low[:, :2], torch.tensor([-0.5, 1.0])) and torch.allclose(
        high[:, :2], torch.tensor([0.5, 1.0])
    )
    if kind != "normal":
        assert (low[:, 2] < 0).float().mean() > 0.9 < (high[:, 2] > 0).float().mean(), "low sounds are at the left"
    with pytest.raises(Refused, match="a pitch cannot be asked for"):
        fitted[kind, False].sample((2,), pitch=110)


@each_prior
def test_a_label_that_is_asked_for_is_given(kind, fitted):
    prior = fitted[kind, True]
    high, low = (prior.sample((200,), label=label, seed=0) for label in ("high", "low"))
    with torch.no_grad():
        assert prior.classifier(high)[:, 0].exp().mean() > 0.8 < prior.classifier(low)[:, 1].exp().mean()
    with pytest.raises(Refused, match="there is no label 'hihg': did you mean 'high'"):
        prior.sample((2,), label="hihg")
    with pytest.raises(Refused, match="shares of labels"):
        prior.sample((2,), label={"high": -1.0})


def test_a_mix_of_labels_lies_between_them(fitted):
    prior = fitted["normal", True]
    shares = [prior.sample((400,), label={"high": a, "low": 1 - a}, seed=0)[:, 2].mean() for a in (0.0, 0.5, 1.0)]
    assert shares[0] + 0.1 < shares[1] < shares[2] - 0.1
    prior = NormalPrior(2)
    with pytest.raises(Refused, match="a label cannot be asked for"):
        prior.sample((2,), label="high")


def test_typicality_is_a_share_of_the_training_sounds_and_truncation_keeps_the_rest(fitted):
    prior, (sounds, _) = fitted["mixture", True], two_kinds()
    with torch.no_grad():
        ranks = prior.typicality(sounds.take(slice(200, 600)).draw())
        assert abs(ranks.mean() - 0.5) < 0.06 and (ranks < 0.1).float().mean() < 0.2
        assert prior.typicality(torch.tensor([[0.5, 1.0, -1.5, 0.0], [0.5, 1.0, 1.5, 0.0]]))[0] < 0.02, (
            "not at that pitch"
        )
        assert prior.typicality(prior.sample((200,), truncation=0.4, seed=0)).min() >= 0.4
    with pytest.raises(Refused, match="as asked for"):
        prior.sample((50,), temperature=0.0, truncation=0.999)
    with pytest.raises(Refused, match="truncation must be"):
        prior.sample((50,), truncation=1.0)


def test_the_memoriser_is_caught_and_no_other():
    "Novelty in the latent space, of eight dimensions."
    torch.manual_seed(0)
    sounds = EncodedSounds.from_moments(torch.randn(1500, 8), torch.full((1500, 8), 0.2), torch.rand(1500, 2))
    train, held = sounds.take(slice(0, 1200)), sounds.take(slice(1200, 1500)).draw()[:, 2:].numpy()
    means, stds = train.points()[:, 2:].numpy(), train.stds()[:, 2:].numpy()
    drawn = {
        kind: PRIORS[kind].fit(train, PriorConfig(prior_steps=200)) for kind in ("resampled", "gaussian", "spline")
    }
    new = {kind: prior.sample((300,), seed=5)[:, 2:].numpy() for kind, prior in drawn.items()}
    score = {kind: float(latent_novelty(means, stds, held, z)) for kind, z in new.items()}
    assert 0.4 < score["gaussian"] < 0.6 and 0.4 < score["spline"] < 0.6 and score["resampled"] > 0.9


@each_prior
def test_a_prior_is_saved_and_loaded(kind, fitted, tmp_path):
    prior, rows = fitted[kind, True], two_kinds()[0].take(slice(0, 20)).draw()
    save_prior(prior, kind, tmp_path)
    again = load_prior(tmp_path, kind)
    with torch.no_grad():
        assert torch.allclose(again.log_prob(rows), prior.log_prob(rows), atol=1e-5)
    assert torch.equal(again.sample((5,), label="high", seed=1), prior.sample((5,), label="high", seed=1))


def test_what_no_prior_can_do_is_refused_in_one_line(tmp_path):
    model = SampleVAE(latent=4, sample_rate=16_000, seconds=0.25)
    with pytest.raises(Refused, match="from a prior of 5 numbers for a model of 6"):
        generate(model, NormalPrior(5), 2)
    with pytest.raises(Refused, match="names none"):
        PriorConfig(prior=" ,")
    with pytest.raises(Refused, match="unknown prior 'splin': did you mean 'spline'"):
        PriorConfig(prior="normal, splin")
    with pytest.raises(Refused, match="there is no spline prior"):
        load_prior(tmp_path, "spline")
    save_prior(NormalPrior(3), "normal", tmp_path)
    (tmp_path / "normal.safetensors").write_bytes(b"no")
    with pytest.raises(Refused, match="damaged"):
        load_prior(tmp_path, "normal")
    broken = NormalPrior(3)
    broken.typical.fill_(math.nan)
    save_prior(broken, "normal", tmp_path)
    with pytest.raises(Refused, match="NaN or infinite"):
        load_prior(tmp_path, "normal")
    (tmp_path / "normal.json").write_text('{"latent": 3}')
    with pytest.raises(Refused, match="older samplevae"):
        load_prior(tmp_path, "normal")
    for content in '{"priors": null}', '{"priors": [{}]}', '{"priors": "spline"}':
        (tmp_path / "priors.json").write_text(content)
        with pytest.raises(Refused, match="priors.json is damaged"):
            load_prior(tmp_path)
    for hertz in 0.0, -1.0, math.nan, math.inf:
        with pytest.raises(Refused, match="a number of Hz above 0"):
            model.decode(torch.zeros(1, 4), hertz)


def test_few_sounds_are_enough_for_what_can_be_known_of_them():
    "Fewer sounds than dimensions, and fewer than Gaussians."
    torch.manual_seed(0)
    few = EncodedSounds.from_moments(torch.randn(9, 30), torch.full((9, 30), 0.1), torch.rand(9, 2))
    for kind in PRIORS:
        prior = PRIORS[kind].fit(few, PriorConfig(prior_steps=3, flow_layers=2))
        with torch.no_grad():
            assert prior.sample((4,), seed=0).isfinite().all() and prior.log_prob(few.draw()).isfinite().all(), kind


def test_vectors_that_are_no_numbers_are_not_fitted(tmp_path):
    run = Run.create(tmp_path / "run", Config.preset("smoke"))
    model = SampleVAE(run.config).eval()
    with torch.no_grad():
        model.encoder.project[1].bias[0] = math.nan
    with pytest.raises(Refused, match="NaN or infinite vectors"):
        fit_priors(run, prepare_store(run), model)


def test_a_fit_that_breaks_keeps_its_best():
    sounds, _ = two_kinds(pitch=False)
    good = PRIORS["spline"].fit(sounds, PriorConfig(prior_steps=100, flow_layers=2))

    class Breaking(PRIORS["spline"]):
        calls = 0

        def score(self, rows):
            self.calls += self.training and torch.is_grad_enabled()
            return super().score(rows) * (math.nan if self.calls > 60 else 1.0)

    broken = Breaking.fit(sounds, PriorConfig(prior_steps=100, flow_layers=2))
    rows = sounds.draw()
    with torch.no_grad():
        assert (
            good.log_prob(rows).mean() - 1
            < broken.log_prob(rows).mean()
            > GaussianPrior.fit(sounds, PriorConfig()).log_prob(rows).mean() - 1
        )


def test_a_joint_prior_learns_with_the_model_and_prices_its_vectors(tmp_path):
    torch.manual_seed(0)
    config = TrainConfig(
        joint_prior=True, latent=4, size="tiny", sample_rate=16_000, seconds=0.25, hop_length=256, steps=5
    )
    model, x = SampleVAE(config), 0.1 * torch.randn(4, 1, 4000)
    z = (posterior := model.encode(x)).rsample()
    given = model.joint_prior(model.measure_pitch(x))
    assert torch.allclose(posterior.kl(z), posterior.log_prob(z) - given.log_prob(z), rtol=1e-4)
    assert torch.allclose(posterior.kl(z, NormalPrior(4)), posterior.log_prob(z) - standard_log_prob(z), rtol=1e-4)
    before = [weight.clone() for weight in model.joint_prior.parameters()]
    phase = RepresentationPhase(model, config, 5, make_fabric(config))
    torch.manual_seed(0)
    priced = loss_terms(model, x, config)["kl"]
    torch.manual_seed(0)
    assert torch.isclose(priced, posterior.kl(posterior.rsample()).mean(), rtol=1e-4)
    for step in range(5):
        phase.step(x, step)
    assert any(not torch.equal(a, b) for a, b in zip(before, model.joint_prior.parameters(), strict=True))
    model.eval().save_pretrained(tmp_path)
    again = SampleVAE.from_pretrained(tmp_path)
    assert torch.allclose(again.encode(x).kl(z), model.encode(x).kl(z), rtol=1e-3)


@pytest.mark.parametrize("setting", [{"free_bits": 0.1}, {"tc_weight": 1.0}, {"latent_shape": "sequence"}])
def test_a_joint_prior_refuses_what_looks_at_single_dimensions(setting):
    with pytest.raises(Refused, match="joint_prior"):
        TrainConfig(joint_prior=True, **setting)


def test_a_deep_gaussian_is_a_gaussian_with_as_many_weights_as_an_iaf():
    deep, iaf = POSTERIORS["deep"](16), POSTERIORS["iaf"](16)
    counts = [sum(weight.numel() for weight in part.parameters()) for part in (deep, iaf)]
    assert deep.context == iaf.context and abs(counts[0] / counts[1] - 1) < 0.05
    assert [type(layer) for layer in deep.layers] == [torch.nn.Linear, torch.nn.SiLU] * 2 + [torch.nn.Linear]
    assert isinstance(deep(torch.zeros(2, 16), torch.zeros(2, 16), torch.randn(2, 32)), GaussianPosterior)


def test_coupling_takes_two_passes_and_the_others_one_for_each_dimension():
    passes = {
        kind: {layer.passes for layer in POSTERIORS[kind](6).layers.transforms}
        for kind in ("iaf", "coupling", "spline")
    }
    assert passes == {"iaf": {6}, "coupling": {2}, "spline": {6}}
    posterior = POSTERIORS["coupling"](1)(torch.zeros(2, 1), torch.zeros(2, 1), torch.zeros(2, 32))
    assert posterior.rsample().shape == (2, 1)


def test_a_planar_layer_that_pushes_nowhere_changes_nothing():
    torch.manual_seed(0)
    x, layer = torch.randn(5, 3), PlanarTransform(torch.zeros(5, 3), torch.randn(5, 3), torch.randn(5))
    assert torch.allclose(layer(x), x, atol=1e-3)


@pytest.mark.parametrize("kind", ["vamp", "spline", "flow-matching"])
def test_a_killed_fit_goes_on_as_if_nothing_had_been(kind, tmp_path, monkeypatch):
    sounds, config = two_kinds()[0], PriorConfig(prior_steps=60, flow_layers=2)
    whole = PRIORS[kind].fit(sounds, config, Run(tmp_path / "whole", config))
    steps, run, step = [], Run(tmp_path / "killed", config), torch.optim.AdamW.step

    def counted(*arguments):
        steps.append(1)
        if len(steps) == 40:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr("torch.optim.AdamW.step", counted)
    with pytest.raises(KeyboardInterrupt):
        PRIORS[kind].fit(sounds, config, run)
    resumed = PRIORS[kind].fit(sounds, config, run)
    assert len(steps) == 40 + 60 - 39, "from the last state that was kept, after 39 steps"
    assert all(torch.equal(a, b) for a, b in zip(whole.buffers(), resumed.buffers(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
    other = PRIORS[kind].fit(sounds, PriorConfig(prior_steps=30, flow_layers=2), run)  # other settings begin anew
    assert len(steps) == 61 + 30 and other is not resumed
    for number, path in enumerate(sorted((tmp_path / "killed/prior/fits").iterdir())):
        path.write_bytes(b"damaged") if number else torch.save({"step": 3, "parameters": []}, path)
    again = PRIORS[kind].fit(sounds, config, run)
    assert len(steps) == 91 + 60 and torch.equal(again.sample((5,), seed=1), whole.sample((5,), seed=1))


def test_a_run_keeps_no_states_of_finished_fits(smoke_run):
    assert (smoke_run / "prior/spline.safetensors").exists() and not (smoke_run / "prior/fits").exists()


@each_prior
def test_rows_of_any_shape_have_a_density_and_others_are_refused(kind, fitted):
    prior = fitted[kind, True]
    rows = prior.sample((2, 3), seed=1)
    assert torch.allclose(prior.log_prob(rows)[1, 2], prior.log_prob(rows[1, 2]), atol=1e-4)
    assert prior.log_prob(prior.sample()).shape == () and prior.typicality(rows).shape == (2, 3)
    with pytest.raises(Refused, match="rows hold 4 numbers"):
        prior.log_prob(rows[..., 1:])


def test_kinds_that_begin_with_the_same_weights_are_not_taken_for_each_other(tmp_path):
    sounds, config = two_kinds()[0], PriorConfig(prior_steps=40, flow_layers=2)
    run = Run(tmp_path, config)
    for kind in "realnvp", "maf":
        alone, in_run = PRIORS[kind].fit(sounds, config), PRIORS[kind].fit(sounds, config, run)
        assert all(torch.equal(a, b) for a, b in zip(alone.parameters(), in_run.parameters(), strict=True)), kind
