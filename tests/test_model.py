"The model as a whole: what must hold for every head, front end and latent shape."

import copy
import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

import samplevae.vae as vae
from samplevae.checkerboard import untrained_artifacts
from samplevae.config import Config
from samplevae.decoder import HEADS, Gate
from samplevae.encoder import FRONT_ENDS
from samplevae.flows import POSTERIORS, Gaussian
from samplevae.harmonics import (
    HarmonicOscillator,
    PartialLines,
    Partials,
    dominant_pitch,
    fall_loss,
    join_pitch,
    measure_pitch,
    pitch_condition,
    track_fall,
)
from samplevae.layers import remove_weight_norm
from samplevae.settings import Refused
from samplevae.spectral import OverlapAdd, ShortTimeFourier, as_complex
from samplevae.vae import SampleVAE

pytestmark = pytest.mark.quick
PARTS = [dict(head=head, frontend=frontend) for head in HEADS for frontend in FRONT_ENDS]
CHOICES = [
    *(parts | dict(latent_shape=shape) for parts in PARTS for shape in ("vector", "sequence")),
    dict(
        head="rave", frontend="bands", upsampling="transposed", noise_bands=0, modulation="loudness", activation="snake"
    ),
    dict(head="melgan", modulation="none", noise_bands=0),
    dict(head="istft", noise_bands=0),
]
ALL = pytest.mark.parametrize("changes", CHOICES, ids=lambda row: "-".join(map(str, row.values())))


def model_of(**changes):
    "A tiny model that has learned nothing."
    torch.manual_seed(0)
    return SampleVAE(Config.preset("smoke", **changes))


@ALL
@pytest.mark.parametrize(("rate", "seconds"), [(16_000, 0.25), (44_100, 0.1), (22_050, 0.1237), (4000, 0.05)])
def test_clips_come_out_at_their_exact_length(changes, rate, seconds):
    model = model_of(sample_rate=rate, seconds=seconds, **changes)
    x = torch.randn(2, 1, round(rate * seconds))
    y, _, posterior, _ = model(x)
    assert y.shape == x.shape and y.dtype == torch.float32 and y.isfinite().all()
    assert posterior.rsample().shape == posterior.point().shape == (2, *model.shape)
    assert posterior.log_prob(posterior.point()).shape == (2,)


@pytest.mark.parametrize("noise_bands", [0, 4])
@pytest.mark.parametrize("head", HEADS)
def test_draws_differ_in_their_noise_and_in_nothing_else(head, noise_bands):
    model = model_of(head=head, noise_bands=noise_bands).eval()
    z = torch.randn(3, 8)
    with torch.no_grad():
        drawn = model.decode(z, draws=2)
        assert drawn.shape == (6, 1, model.length) and torch.equal(model.decode(z), model.decode(z))
        assert torch.allclose(drawn[:3], drawn[3:], atol=1e-6) == (noise_bands == 0)
        same = model.decode(torch.cat([z, z]))
        assert torch.allclose(same[:3], same[3:], atol=1e-5), "the same noise for every item of a batch"


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("hertz", [41.0, 220.0, 1975.5])
def test_an_oscillator_sounds_at_the_pitch_that_it_is_given(rate, hertz):
    torch.manual_seed(0)
    oscillator, z = HarmonicOscillator(5, rate, 256, rate // 256, harmonics=4), 0.1 * torch.randn(2, 3)
    pitch = pitch_condition(torch.tensor([hertz, hertz * 2 ** (1 / 12)]))
    with torch.no_grad():
        oscillator.level.bias[: oscillator.level.out_features // 4] += 3  # the first harmonic louder than the others
        pitches, share = dominant_pitch(oscillator(oscillator.partials(pitch, join_pitch(z, pitch))), rate)
    assert pitches.tolist() == pytest.approx([hertz, hertz * 2 ** (1 / 12)], rel=0.01)
    assert share.min() > 0.9


def test_what_would_come_back_as_another_pitch_is_left_out():
    oscillator, pitch = HarmonicOscillator(2, 8000, 64, 64, harmonics=8), pitch_condition(torch.tensor([1500.0]))
    with torch.no_grad():
        sound = oscillator(oscillator.partials(pitch, pitch)) * torch.hann_window(4096)
        power = torch.fft.rfft(sound).abs().square()[0]
    multiples = [power[round(k * 1500 * 4096 / 8000) - 40 :][:80].sum() / power.sum() for k in (1, 2)]
    assert sum(multiples) > 0.99, "3000 Hz is heard, 4500 Hz and more cannot be"


def test_a_harmonic_that_is_nearly_silent_is_silent_once_it_has_learned():
    oscillator, given = HarmonicOscillator(3, 8000, 64, 64, harmonics=2), (torch.zeros(2, 2), 0.1 * torch.randn(2, 3))
    with torch.no_grad():
        oscillator.level.bias[:64] = -6  # 78 dB down
    gradient = torch.autograd.grad(oscillator(oscillator.partials(*given)).square().sum(), oscillator.level.bias)[0]
    assert gradient[:64].abs().min() > 0, "what is soft can still become loud"
    with torch.no_grad():
        levels = oscillator.eval().partials(*given).levels
        assert (levels[:, 0] == 0).all() and (levels[:, 1] > 0.01).all()


@pytest.mark.parametrize("shape", ["vector", "sequence"])
@pytest.mark.parametrize("head", HEADS)
def test_a_closed_gate_is_silence_and_in_training_the_true_one_closes(head, shape, monkeypatch):
    model = model_of(head=head, latent_shape=shape, hop_length=64).eval()
    x = torch.randn(3, 1, model.length)
    x[0, :, 2000:] *= 1e-4  # after this nothing is within 60 dB of the peak
    x[2] = 0
    y, _, _, loss = model(x)
    end = 2000 + 2 * 64
    assert y[0, 0, end:].abs().max() == 0 and y[0, 0, :1900].abs().max() > 0 and y[1, 0, -64:].abs().max() > 0
    assert y[2].abs().max() == 0 and loss["gate_loss"] > 0
    z, gate = torch.randn(2, *model.shape), model.decoder.gate
    with torch.no_grad():
        gate.layer.weight *= 0
        frames = len(
            gate(model.decoder.project(torch.zeros(1, sum(z.shape[1:2]) + model.config.pitch_dims, *z.shape[2:])))[0]
        )
        assert frames * 64 >= model.length
        gate.layer.bias.fill_(-1.0)
        assert model.decode(z).abs().max() == 0, "closed, whatever head and oscillator do"
        gate.layer.bias.fill_(1.0)
        open_ = model.decode(z)
        monkeypatch.setattr(gate, "frames_heard", lambda logits: torch.full((len(logits),), 20))
        ended = model.decode(z)
    assert open_[:, :, :41].abs().max() == 0 < open_[:, :, 41:48].abs().max(), "it begins half a ms before 3 ms"
    assert ended[:, :, 21 * 64 :].abs().max() == 0 and torch.equal(ended[:, :, : 19 * 64], open_[:, :, : 19 * 64])
    plain = model_of(head=head, latent_shape=shape, gate=False).eval()
    assert (
        plain.decoder.gate is None and plain(x[:2])[0][0, 0, end:].abs().max() > 0 and plain(x[:2])[3]["gate_loss"] == 0
    )


def test_a_gate_takes_the_most_likely_end():
    torch.manual_seed(0)
    gate, logits = Gate(4, 8, 12), 2 * torch.randn(50, 12)
    logits[0], logits[1] = -5, 5
    likelihoods = []  # of every end, term by term
    for end in range(13):
        open_, shut = (logits - 0.5)[:, :end], (logits - 0.5)[:, end:]
        likelihoods.append(F.logsigmoid(open_).sum(1) + F.logsigmoid(-shut).sum(1))
    ends = torch.stack(likelihoods, 1).argmax(1)
    assert gate.frames_heard(logits).tolist() == ends.tolist() and {0, 12} < set(ends.tolist())
    envelope = gate.envelope(ends)
    assert (envelope.diff(dim=1) <= 0).all() and (envelope[ends == 12] == 1).all() and (envelope[ends == 0] == 0).all()
    one, five = gate.envelope(torch.tensor([1, 5]))
    assert one[:4].min() == 1 and one[12:].max() == 0 and five[:36].min() == 1 and five[44:].max() == 0
    assert five[39:41].tolist() == pytest.approx([0.5, 0.5], abs=0.07)


def test_a_gate_learns_when_sounds_end():
    torch.manual_seed(0)
    model = model_of(hop_length=64)
    x = torch.randn(64, 1, model.length)
    for sound, end in zip(x, torch.randint(500, 3500, (64,)), strict=True):
        sound[:, end:] = 0
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(150):
        loss = model(x)[3]["gate_loss"]
        optimizer.zero_grad(), loss.backward(), optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    with torch.no_grad():
        y = model.eval().decode(model.encode(x).point(), model.measure_pitch(x))
    late = sum(bool(b[0, int(a[0].nonzero().max()) + 400 :].any()) for a, b in zip(x, y, strict=True))
    assert late <= 12, "25 ms after most sounds have ended there is silence"


@pytest.mark.parametrize("frontend", FRONT_ENDS)
def test_the_pitch_is_measured_and_stands_beside_the_vector(frontend):
    model = model_of(frontend=frontend).eval()
    time, hertz = torch.arange(model.length) / 16_000, torch.tensor([80.0, 440.0, 1000.0])
    x = (torch.sin(2 * torch.pi * hertz[:, None] * time) * torch.exp(-9 * time))[:, None]
    pitch = model.measure_pitch(x)
    assert torch.allclose(pitch, pitch_condition(hertz), atol=0.01) and model.encode(x).point().shape == (3, 8)
    z = torch.randn(3, 8)
    with torch.no_grad():
        assert torch.allclose(model.decode(z[:1], 440.0), model.decode(z[:1], pitch_condition(hertz[1:2])), atol=1e-6)
        assert torch.equal(model.decode(z), model.decode(z, torch.zeros(3, 2))), "none given: as of noise"
        for silent in torch.zeros(1, 1, model.length), torch.full((1, 1, model.length), 1e-30):
            assert model.decode(model.encode(silent).point(), model.measure_pitch(silent)).isfinite().all()
    plain = model_of(frontend=frontend, harmonics=0).eval()
    assert plain.decoder.oscillator is None and plain.measure_pitch(x).shape == (3, 0)
    with pytest.raises(Refused, match="440.0 Hz: this model has none"):
        plain.decode(z, 440.0)
    with pytest.raises(Refused, match=r"pitches must be \(3, 2\), not \(3, 1\)"):
        model.decode(z, torch.zeros(3, 1))


def test_the_confidence_of_a_pitch_tells_tones_from_noise():
    torch.manual_seed(0)
    time, noise = torch.arange(13_230) / 22_050, torch.randn(1, 13_230)
    tone = torch.sin(2 * torch.pi * 300 * time)[None]
    found = measure_pitch(torch.cat([tone, tone + noise, tone + 10 * noise, noise, 0 * noise]), 22_050)[:, 1]
    assert found[0] == 1 and 0.5 < found[1] <= 1 and (found[2:] == 0).all()
    by_rate = [measure_pitch(torch.randn(20, rate // 2), rate)[:, 1].max().item() for rate in (8000, 44_100)]
    assert max(by_rate) < 0.3, "white noise has no pitch at any rate"


def notes(hertz, weights, rate, seconds=0.6):
    "Held notes (B, T): pitches in Hz, and the levels of their partials."
    time = torch.arange(round(seconds * rate)) / rate
    number = torch.arange(1, len(weights) + 1)[:, None]
    wave = torch.sin(2 * torch.pi * hertz[:, None, None] * number * time)
    return (torch.tensor(weights)[:, None] * wave).sum(1) / sum(weights)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_the_pitch_of_a_note_is_its_fundamental_even_where_that_is_soft(rate):
    hertz = torch.tensor([55.0, 131.0, 440.0])
    for weights in [1.0, 0.5, 0.25], [0.1, 0.2, 1.0, 0.8, 0.5], [0.0, 0.7, 1.0, 0.5], [1.0, 0.0, 0.6, 0.0, 0.4]:
        assert torch.allclose(measure_pitch(notes(hertz, weights, rate), rate), pitch_condition(hertz), atol=2e-3)
    modes = torch.sin(2 * torch.pi * torch.tensor([[110.0], [110 * 1.59], [110 * 2.14]]) * torch.arange(rate) / rate)
    drum = (modes * torch.tensor([[1.0], [0.5], [0.3]])).sum(0)[None]
    assert torch.allclose(measure_pitch(drum, rate), pitch_condition(torch.tensor([110.0])), atol=2e-3)


@pytest.mark.parametrize("pitch", [55.0, 220.0, 700.0])
def test_lines_are_the_sinusoids_that_they_stand_for(pitch):
    rate, hop, frames, numbers = 44_100, 256, 64, range(5, 33)
    lines, transform = PartialLines(4, rate, hop, frames, numbers), ShortTimeFourier(hop, frames)
    gains = torch.linspace(-1, -3, len(numbers))
    with torch.no_grad():
        lines.envelope.weight.zero_(), lines.envelope.bias.zero_()
        octaves = torch.full((1, 1, frames), pitch, dtype=torch.float64).log2()
        partials = Partials(octaves, torch.zeros(1, 4, frames), gains[None])
        parts = lines(torch.zeros(1, frames, 2 * (2 * hop + 1)), torch.zeros(1, frames, 4), partials)
        sound = transform.istft(as_complex(parts), absolute_phase=True)[0]
    time = (torch.arange(frames * hop) - hop / 2 + hop) / rate  # in the middle of the first frame it is a hop old
    audible = [(k, gain) for k, gain in zip(numbers, gains, strict=True) if k * pitch < 0.45 * rate]
    wanted = sum(gain.exp() * torch.sin(2 * torch.pi * k * pitch * time.double()) for k, gain in audible)
    error, inner = sound - wanted, slice(4 * hop, -4 * hop)
    assert error[inner].norm() < 0.01 * wanted[inner].norm()


def test_how_a_pitch_falls_is_measured():
    time = torch.arange(22_050) / 44_100
    falls = torch.tensor([[2.0, 0.03], [0.5, 0.1], [-0.5, 0.2], [0.0, 0.1]])
    octaves = math.log2(60) + falls[:, :1] * torch.exp(-time / falls[:, 1:])
    x = torch.sin(2 * torch.pi * (2**octaves).cumsum(1) / 44_100) * torch.exp(-4 * time)
    found, rest, share = track_fall(x, 44_100)
    course = rest.log2()[:, None] + found[:, :1] * torch.exp(-time / found[:, 1:])
    assert (course - octaves)[:, 200:8000].abs().mean(1).max() < 0.1
    assert track_fall(torch.randn(4, 22_050), 44_100)[2].max() < 0.1 < 0.3 < share.min(), "noise falls nowhere"
    own, pitch = octaves[:, 256::512], pitch_condition(torch.full((4,), 60.0))
    apart = [fall_loss(own + by, pitch, x, 44_100, 512).item() for by in (0, 0.5)]
    assert apart[0] < 0.01 and 0.1 < apart[1] < 0.2


def test_where_there_is_no_pitch_its_number_tells_the_networks_nothing():
    z, nowhere = torch.randn(1, 3), torch.tensor([[0.7, 0.0]])
    assert torch.equal(join_pitch(z, nowhere), join_pitch(z, torch.zeros(1, 2)))
    assert join_pitch(z, torch.tensor([[0.7, 0.5]]))[0, :2].tolist() == pytest.approx([0.35, 0.5])


@ALL
def test_every_parameter_gets_a_gradient(changes):
    model = model_of(**changes)
    tone = torch.sin(2 * torch.pi * 110 * torch.arange(model.length) / model.config.sample_rate)
    y, z, posterior, measured = model(tone + 0.1 * torch.randn(2, 1, model.length))
    (y.square().mean() + posterior.kl(z).mean() + sum(measured.values())).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().sum() == 0] == []


@ALL
def test_an_item_does_not_depend_on_its_batch_and_use_is_deterministic(changes):
    model = model_of(**changes).eval()
    x = 0.3 * torch.randn(5, 1, model.length)
    with torch.no_grad():
        mean, z, pitch = model.encode(x).point(), 5 * torch.randn(5, *model.shape), model.measure_pitch(x)
        y = model.decode(z, pitch)
        assert torch.equal(model.decode(z, pitch), y) and torch.equal(model.encode(x).point(), mean)
        assert torch.allclose(model.encode(x[3:4]).point(), mean[3:4], atol=1e-4)
        assert torch.allclose(model.decode(z[3:4], pitch[3:4]), y[3:4], atol=1e-4)
        assert y.abs().amax((1, 2)).min() > 1e-5, "no sound is silent from the start"
        assert (y[0] - y[1]).abs().max() > 1e-3 * y.abs().max(), "different vectors are different sounds"


def rounded(model, work):
    "What `work` gives if all layers but the oscillator's are computed in bfloat16, each as this processor does it."

    def in_bfloat16(layer, args, out):
        with torch.autocast("cpu", torch.bfloat16):
            return type(layer).forward(layer, *args).to(out.dtype)

    kinds = torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.ConvTranspose1d
    exact = {layer for part in model.modules() if isinstance(part, HarmonicOscillator) for layer in part.modules()}
    layers = [layer for layer in model.modules() if isinstance(layer, kinds) and layer not in exact]
    hooks = [layer.register_forward_hook(in_bfloat16) for layer in layers]
    result = work()
    for hook in hooks:
        hook.remove()
    return result


@ALL
def test_it_works_in_bfloat16(changes):
    "No farther off than what this processor loses in the convolutions and matrices themselves."
    model = model_of(**changes)
    x = 0.3 * torch.randn(2, 1, model.length)
    with torch.autocast("cpu", torch.bfloat16):
        trained, *_ = model.train()(x)
    trained.square().mean().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    model = remove_weight_norm(model).eval()
    with torch.no_grad():
        for oscillator in (part for part in model.modules() if isinstance(part, HarmonicOscillator)):
            oscillator.fall.weight *= 100  # octaves of fall: rounded to 8 bits they would soon be out of phase
        exact, pitch = model.encode(x).point(), model.measure_pitch(x)
        for work in (lambda: model.encode(x).point()), (lambda: model.decode(exact, pitch)):
            wanted, explained = work(), rounded(model, work)
            with torch.autocast("cpu", torch.bfloat16):
                got = work()
            assert got.dtype == torch.float32
            assert (got - wanted).norm() < 2 * (explained - wanted).norm() + 0.01 * wanted.norm()


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{}, CHOICES[-3], dict(head="melgan", frontend="wave", latent_shape="sequence")], ids=str
)
def test_it_can_be_compiled(changes):
    model = model_of(seconds=0.1, **changes)
    x = 0.3 * torch.randn(2, 1, model.length)
    train = torch.compile(model, backend="aot_eager")  # all of compiling but the C++ compiler, which not all have
    y, _, posterior, _ = train(x)
    y.square().mean().backward()
    assert torch.allclose(posterior.point(), model.encode(x).point(), atol=1e-4)
    model.eval()
    decode = torch.compile(model.decode, backend="aot_eager")
    with torch.no_grad():
        assert torch.allclose(decode(posterior.point()), model.decode(posterior.point()), atol=1e-4)


@ALL
def test_saved_and_loaded_it_is_the_same(changes, tmp_path):
    model = model_of(**changes).eval()
    before = copy.deepcopy(model.state_dict())
    model.save_pretrained(tmp_path, steps=7)
    again, z = SampleVAE.from_pretrained(tmp_path), torch.randn(2, *model.shape)
    assert again.config == model.config and not again.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items()), (
        "saving changes nothing"
    )
    with torch.no_grad():
        assert torch.allclose(again.decode(z), model.decode(z), atol=1e-6)
        x = torch.randn(2, 1, model.length)
        assert torch.allclose(again.encode(x).point(), model.encode(x).point(), atol=1e-5)
    again.save_pretrained(tmp_path / "twice")  # what is folded stays folded
    assert load_file(tmp_path / "twice/model.safetensors").keys() == load_file(tmp_path / "model.safetensors").keys()


def without_one(weights):
    "All tensors but the last."
    return dict(sorted(weights.items())[:-1])


WRONG = {
    "another precision": lambda weights: {name: tensor.double() for name, tensor in weights.items()},
    "missing": without_one,
    "extra": lambda weights: weights | {"more": torch.zeros(3)},
    "another shape": lambda weights: weights | {"encoder.project.1.bias": torch.zeros(3)},
    "another name": lambda weights: {f"model.{name}": tensor for name, tensor in weights.items()},
}


@pytest.mark.parametrize("kind", WRONG)
def test_other_tensors_are_refused_in_one_line(kind, tmp_path):
    model_of().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    save_file(WRONG[kind](load_file(path)), path)
    with pytest.raises(Refused, match=r"is of another model: \d+ tensors do not fit, first ") as said:
        SampleVAE.from_pretrained(tmp_path)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("part", [0.0, 0.001, 0.5, 0.999])
def test_truncated_files_are_refused_in_one_line(part, tmp_path):
    model_of().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(Refused, match="is damaged: ") as said:
        SampleVAE.from_pretrained(tmp_path)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"format": 99, "settings": {}}', "written by a newer samplevae"),
        ('{"settings": {"width": 3}}', "written by an older samplevae"),
        ('{"format": 7, "settings": {"heads": "istft"}}', "asks for what is not here: unknown setting 'heads'"),
        ('{"format": 7}', "model.json is damaged"),
        ('{"format": "one", "settings": {}}', "written by an older samplevae"),
        ("[]", "damaged"),
        ("{", "damaged"),
    ],
)
def test_other_settings_are_refused_in_one_line(text, wanted, tmp_path):
    model_of().save_pretrained(tmp_path)
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(Refused, match=wanted) as said:
        SampleVAE.from_pretrained(tmp_path)
    assert "\n" not in str(said.value)


def test_a_save_that_was_interrupted_is_not_taken_for_a_model(tmp_path, monkeypatch):
    model_of().save_pretrained(tmp_path)
    with pytest.raises(TypeError):  # what cannot be written as JSON is found before anything is replaced
        model_of(sample_rate=8000, seconds=0.5).save_pretrained(tmp_path, more=object())
    assert SampleVAE.from_pretrained(tmp_path).config == model_of().config
    monkeypatch.setattr(vae, "write_json", lambda *_: None)  # killed between the two files
    model_of(sample_rate=8000, seconds=0.5).save_pretrained(tmp_path)
    with pytest.raises(Refused, match="do not belong together"):
        SampleVAE.from_pretrained(tmp_path)


def test_settings_that_were_changed_by_hand_are_refused(tmp_path):
    model_of().save_pretrained(tmp_path)
    text = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace('"leaky"', '"snake"'))
    with pytest.raises(Refused, match="do not belong together"):
        SampleVAE.from_pretrained(tmp_path)


def test_weights_that_are_no_numbers_are_not_saved(tmp_path):
    model = model_of()
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        model.encoder.project[1].bias[3] = float("nan")
    with pytest.raises(Refused, match="encoder.project.1.bias: it is not saved"):
        model.save_pretrained(tmp_path)
    assert SampleVAE.from_pretrained(tmp_path).shape == model.shape


@pytest.mark.parametrize("head", ["istft", "rave", "melgan"])
def test_each_draw_has_noise_of_its_own(head):
    model = model_of(head=head).eval()
    for count in 1, 3:
        with torch.no_grad():
            sounds = model.decode(torch.randn(count, *model.shape), draws=2).unflatten(0, (2, count))
        assert (sounds[0] - sounds[1]).abs().amax(-1).min() > 1e-4


def test_sounds_and_vectors_of_other_shapes_are_refused():
    model = model_of()
    for wrong in torch.zeros(2, 1, 5), torch.zeros(2, 2, model.length), torch.zeros(model.length):
        with pytest.raises(Refused, match=f"sounds must be .n, 1, {model.length}., not"):
            model.encode(wrong)
    with pytest.raises(Refused, match="vectors must be .n, 8., not"):
        model.decode(torch.zeros(8))


def test_a_folder_without_a_model_is_refused(tmp_path):
    (tmp_path / "model.json").mkdir()
    with pytest.raises(Refused, match="cannot read"):
        SampleVAE.from_pretrained(tmp_path)
    with pytest.raises(Refused, match="there is no model in"):
        SampleVAE.from_pretrained(tmp_path / "nothing")


def test_hops_that_some_parts_cannot_have_are_refused():
    assert model_of(hop_length=100).length == 4000
    for changes in dict(head="rave"), dict(head="melgan"), dict(frontend="bands"):
        with pytest.raises(Refused, match="'hop_length' must be a power of two"):
            model_of(hop_length=100, **changes)


def standing_out(changes, models=200):
    "The highest line or the comb, whichever is higher; of fewer models their chance peaks come near 1 dB."
    config = Config.preset(
        "smoke", hop_length=64, latent=16, harmonics=0, **changes
    )  # a harmonic's line is where the vector says
    return max(untrained_artifacts(lambda: SampleVAE(config), models).values())


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{}, dict(latent_shape="sequence"), dict(head="rave"), dict(head="melgan")], ids=str
)
def test_no_line_stands_out_before_training(changes):
    assert standing_out(changes) < 1


@pytest.mark.slow
@pytest.mark.parametrize(("head", "other"), [("rave", "linear"), ("melgan", "transposed")])
def test_each_head_goes_up_in_the_way_that_whistles_least(head, other):
    chosen, rejected = (standing_out(dict(head=head, upsampling=kind, noise_bands=0), 30) for kind in ("auto", other))
    assert rejected > chosen + 8


@pytest.mark.parametrize("steady", [False, True])
def test_the_gradient_of_overlap_add_is_right(steady):
    pieces = torch.randn(2, 8, 4, 3, dtype=torch.double, requires_grad=True)
    windows = torch.rand(4, 3, dtype=torch.double)
    assert torch.autograd.gradcheck(lambda x: OverlapAdd.apply(x, windows, steady), pieces)


def test_folding_changes_nothing_but_the_parameters():
    model, plain = model_of(head="rave", frontend="bands").eval(), model_of(head="rave", frontend="bands").eval()
    remove_weight_norm(plain)
    z = torch.randn(2, *model.shape)
    with torch.no_grad():
        assert torch.allclose(plain.decode(z), model.decode(z), atol=1e-6)
    names = [name for name in model.state_dict() if "parametrizations" in name]
    assert names and not any("parametrizations" in name for name in plain.state_dict())


def test_a_posterior_may_ask_for_more(monkeypatch):
    class Curious(Gaussian):
        context = 5

        def forward(self, mean, raw_std, context):
            assert context.shape == (3, 5)
            return super().forward(mean + context[:, :1], raw_std, context)

    monkeypatch.setitem(POSTERIORS, "curious", Curious)
    model = model_of(posterior="curious")
    assert model.encode(torch.randn(3, 1, model.length)).rsample().shape == (3, 8)


def test_a_head_of_ones_own_is_one_entry_of_a_table(monkeypatch, tmp_path):
    class Hiss(torch.nn.Module):
        width = 4

        def __init__(self, config):
            super().__init__()
            self.samples = 8 * config.hop_length

        def forward(self, h, draws=0):
            loudness = h.mean(1).repeat_interleave(self.samples, 1)
            return (loudness * torch.randn_like(loudness))[:, None].repeat(max(draws, 1), 1, 1)

    monkeypatch.setitem(HEADS, "hiss", Hiss)
    model = SampleVAE(head="hiss", latent=3, seconds=0.2)
    model.save_pretrained(tmp_path)
    assert model.decode(torch.randn(2, 3), draws=2).shape == (4, 1, 8820)
    with pytest.raises(Refused, match="does not know 'his': did you mean 'hiss'"):
        SampleVAE(head="his")
    monkeypatch.delitem(HEADS, "hiss")
    with pytest.raises(Refused, match="asks for what is not here"):
        SampleVAE.from_pretrained(tmp_path)


def test_a_model_needs_the_settings_of_the_model_alone(tmp_path):
    model = SampleVAE(latent=4, sample_rate=16_000, seconds=0.25)
    assert model.shape == (4,) and model.length == 4000
    with pytest.raises(Refused, match="unknown setting 'latnt': did you mean 'latent'"):
        SampleVAE(latnt=4)
    model.save_pretrained(tmp_path / "run/vae")
    assert SampleVAE.from_pretrained(tmp_path / "run").config == model.config, "the folder of a run will do"
