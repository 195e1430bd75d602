"Drums out of a song, an amplifier, and the measure that belongs to it; the timbre of one sound on the course of another."

import numpy as np
import pytest
import soundfile
import torch

from samplevae.augmentation import saturate_batch
from samplevae.baselines.ours import WaveformVAE
from samplevae.cutting import cut_song, find_onsets
from samplevae.factors import draw
from samplevae.reconstruction import error_to_signal
from samplevae.settings import Refused
from samplevae.sources import open_source
from samplevae.style_transfer import TIMBRE, StyleVAE, contrastive_loss, envelope_correlation, tie_timbre
from samplevae.synthesis import synthesise

RATE = 44_100


@pytest.fixture
def song(tmp_path):
    "Eight hits, half a second apart, in two channels at another rate, and where they begin."
    hits = synthesise(draw(torch.arange(8), 5, ("kick", "snare")), 48_000, 0.5).flatten().numpy()
    path = tmp_path / "a, song.wav"
    soundfile.write(path, np.stack([hits, 0.5 * hits], 1), 48_000)
    return path


@pytest.mark.parametrize("separated", [True, False])
def test_a_song_becomes_a_folder_that_can_be_learned(song, tmp_path, command, separated):
    out = tmp_path / "shots"
    done = command("cut", song, out, *["--separated"] * separated)
    assert done.returncode == 0 and "8 one-shots" in done.stdout, done.stderr
    files = sorted(out.glob("*.wav"))
    when = np.array([float(file.stem.split("-")[-1]) for file in files])
    assert len(files) == 8 and np.abs(when - 0.5 * np.arange(8)).max() < 0.01
    source = open_source(str(out), None)
    assert len(source.table) == 8 and set(source.table.group) == {"a  song"}, "a song is one group"
    again = command("cut", song, out)
    assert again.returncode == 2 and "not empty" in again.stderr


@pytest.mark.parametrize("content", ["silence", "nothing", "text", "missing"])
def test_what_cannot_be_cut_is_refused_in_a_line(content, tmp_path, command):
    path = tmp_path / "song.wav"
    if content == "text":
        path.write_text("no sound")
    elif content != "missing":
        soundfile.write(path, np.zeros(RATE if content == "silence" else 0), RATE)
    done = command("cut", path, tmp_path / "out")
    assert done.returncode == 2 and "song.wav" in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "out").exists()


def test_onsets_of_noise_bursts_are_found_to_the_millisecond():
    wave, chance = np.zeros(RATE, "f4"), np.random.default_rng(0)
    for start in (0.1, 0.35, 0.8):
        wave[round(start * RATE) :][:4410] += chance.normal(0, 0.2, 4410)
    assert np.abs(find_onsets(wave, RATE) / RATE - [0.1, 0.35, 0.8]).max() < 0.003


def test_a_driven_amplifier_keeps_peaks_and_silence_and_adds_even_harmonics():
    x = (torch.arange(RATE) * 2 * torch.pi * 441 / RATE).sin()[None] * torch.tensor([[0.5], [0.0]])
    y = saturate_batch(x, torch.full((2, 1), 5.0))
    assert y[0].abs().max().item() == pytest.approx(0.5) and not y[1].any()
    power = torch.fft.rfft(y[0]).abs()
    assert power[882] > 0.01 * power[441] and power[1323] > 0.05 * power[441]
    assert torch.fft.rfft(x[0]).abs()[882] < 1e-4 * power[441]


def test_the_error_to_signal_ratio_hears_high_frequencies_more_with_pre_emphasis():
    time = torch.arange(RATE) / RATE
    low, high = ((2 * torch.pi * hertz * time).sin()[None] for hertz in (100, 8000))
    x = low + 0.1 * high
    flat, lifted = (error_to_signal(x, low, emphasis).item() for emphasis in (0.0, 0.95))
    assert flat == pytest.approx(0.01, rel=0.1) and lifted > 0.5
    assert error_to_signal(x, x, 0.95).item() == 0


def test_the_first_half_of_a_vector_says_nothing_of_the_course():
    torch.manual_seed(0)
    z = torch.randn(2, TIMBRE + 4, 5)
    tied = tie_timbre(z)
    assert torch.equal(tied[:, TIMBRE:], z[:, TIMBRE:])
    assert tied[:, :TIMBRE].std(2).max() < 1e-6 and torch.allclose(tied.mean(2), z.mean(2), atol=1e-6)


def test_the_contrastive_loss_is_least_where_labels_are_apart():
    labels = torch.tensor([0, 0, 1, 1])
    apart = torch.tensor([[0.0, 0], [0, 0], [3, 0], [3, 0]])
    assert contrastive_loss(apart, labels) < 1e-4
    assert contrastive_loss(torch.zeros(4, 2), labels) > 3.9, "all in one place: the margin is missed"
    assert contrastive_loss(apart[[0, 2, 1, 3]], labels) > 8


def test_an_envelope_is_followed_by_itself_and_not_by_its_mirror():
    x = torch.randn(2, RATE, generator=torch.Generator().manual_seed(0)) * torch.linspace(0, -5, RATE).exp()
    assert envelope_correlation(x, 0.3 * x, RATE).min() > 0.99
    assert envelope_correlation(x, x.flip(1), RATE).max() < -0.9


def test_a_swap_takes_the_timbre_of_one_and_the_course_of_the_other():
    torch.manual_seed(0)
    model = StyleVAE(16_000, 8000, ["a", "b"]).eval()
    x = 0.1 * torch.randn(3, 8000)
    made = model.swap_timbre(x, x.flip(0))
    assert made.shape == (3, 8000) and made.isfinite().all() and issubclass(StyleVAE, WaveformVAE)
    assert not torch.allclose(made[:1], model.swap_timbre(x[1:2], x.flip(0)[:1]))


def test_a_song_needs_a_new_folder(song, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").touch()
    with pytest.raises(Refused, match="not empty"):
        cut_song(song, tmp_path / "out")
