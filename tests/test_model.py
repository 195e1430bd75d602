"The model as a whole."

import torch

from samplevae.checkerboard import decoded, levels_at, size_for, spectrum_of
from samplevae.runs import Config
from samplevae.vae import SampleVAE


def test_no_line_stands_out_before_training():
    config = Config.preset("cpu", width=32, hop=64, seconds=0.25)
    spectra = []
    for seed in range(400):  # fewer, and their chance peaks reach 1 dB
        torch.manual_seed(seed)
        waves = decoded(SampleVAE(config).eval(), 4, seed)
        spectra.append(spectrum_of(waves, size_for(waves, config.hop)))
    lines = levels_at(torch.stack(spectra).mean(0), size_for(waves, config.hop) / config.hop)
    assert lines.max() < 1 and len(lines) == 31
