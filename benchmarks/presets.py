"""What preset `cpu` can reach in its minutes: other rates, lengths, sizes and schedules, each trained for the same time.

`python benchmarks/presets.py --minutes 5` takes five minutes of processor time a row, on one thread. The score is taken
against the same drums at 44.1 kHz and 1.0 s, so that what a rate or a length cuts off counts as lost. The table goes to
benchmarks/results/presets.json, which the chapter of results shows; `--only NAME` trains a single row.
"""

import argparse
import time
from copy import deepcopy

import numpy as np
import soxr
import torch
from tqdm import tqdm

from samplevae.audio import PRE_ONSET
from samplevae.config import Config
from samplevae.dataset import prepare_store
from samplevae.embeddings import mel_embedding
from samplevae.factors import DRUMS, draw
from samplevae.files import CLONE, read_json, write_json
from samplevae.metrics import frechet
from samplevae.monitoring import held_out, reconstruct
from samplevae.phases import RepresentationPhase, make_fabric, training_batch, update_ema
from samplevae.reconstruction import log_mel, pitch_error
from samplevae.runs import Run, hardware
from samplevae.synthesis import synthesise
from samplevae.vae import SampleVAE

RATE = 44_100  # of the truth, a second long
ROWS = {
    "the preset": {},
    "Adam, learning rate 7e-4": dict(optimizer="adam", learning_rate=7e-4),
    "without harmonics": dict(harmonics=0),
    "a whole second": dict(seconds=1.0),
    "size base": dict(size="base"),
    "16 kHz, a whole second": dict(sample_rate=16_000, hop_length=256, seconds=1.0),
}


def learn(model, config, sounds, seconds, name):
    "The averaged model after so many seconds of processor time, and its steps."
    average = deepcopy(model).requires_grad_(False)
    phase, bar = RepresentationPhase(model, config, 1000, make_fabric(config)), tqdm(total=round(seconds), desc=name)
    step, begin, used = 0, time.process_time(), 0.0
    while used < seconds:
        torch.manual_seed(step)
        phase.step(training_batch(sounds, config, step), min(999, int(1000 * used / seconds)))  # as far as the time is
        update_ema(average, model, config.ema_decay, step)
        step, used = step + 1, time.process_time() - begin
        bar.n = min(round(used), bar.total)
        bar.refresh() if step % 20 == 0 else None
    return average.eval(), step


def at_full(x, rate):
    "Sounds at the rate and the length of the truth."
    if rate != RATE:
        x = torch.from_numpy(soxr.resample(x.numpy().T, rate, RATE).T.copy())
    return torch.nn.functional.pad(x, (0, max(0, RATE - x.shape[1])))[:, :RATE]


def truth(files):
    "Drums as they are, a second at the full rate; their files are called synthesis/SEED/NUMBER."
    numbers = torch.tensor([int(name.split("/")[2]) for name in files])
    before = round(PRE_ONSET * RATE)
    waves = [synthesise(draw(part, kinds=DRUMS), RATE, 1 - before / RATE) for part in numbers.split(64)]
    return torch.nn.functional.pad(torch.cat(waves), (before, 0))


def score(model, store):
    "How far held-out drums, at the full rate, are from their reconstructions."
    held, train = held_out(store).sample(256), store.split("train")
    reconstructed = at_full(reconstruct(model, held.sounds(), 16), store.rate)
    real = truth(train.table.file.to_numpy()[np.sort(np.random.default_rng(0).permutation(len(train))[:1500])])
    x = truth(held.table.file.to_numpy())
    x, reconstructed = (part / part.abs().amax(1, keepdim=True).clamp(min=1e-6) for part in (x, reconstructed))
    real = real / real.abs().amax(1, keepdim=True)
    error = (log_mel(x, RATE) - log_mel(reconstructed, RATE)).abs().mean().item()
    floor = frechet(mel_embedding(real, RATE), mel_embedding(x, RATE))
    return {
        "log-mel, dB": error,
        "pitch, semitones": pitch_error(x, reconstructed, RATE).nanmean().item(),
        "Fréchet (mel)": frechet(mel_embedding(real, RATE), mel_embedding(reconstructed, RATE)),
        "floor": floor,
    }


def main():
    "Train what is not in the table yet, and keep it."
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=5)
    options.add_argument("--only", help="one of the rows")
    options = options.parse_args()
    torch.set_num_threads(1)
    path = CLONE / "benchmarks/results/presets.json"
    empty = {"date": time.strftime("%Y-%m-%d"), "minutes": options.minutes, "hardware": hardware(), "rows": {}}
    for name, changes in ROWS.items():
        table = read_json(path, empty)
        if (options.only or name) == name and not (table["minutes"] == options.minutes and name in table["rows"]):
            config = Config.preset("cpu", device="cpu", **changes)
            store = prepare_store(Run(CLONE / "outputs", config))
            torch.manual_seed(config.seed)
            model, steps = learn(SampleVAE(config), config, store.split("train"), 60 * options.minutes, name)
            row = {"steps": steps} | score(model, store)
            table = read_json(path, empty)
            table = table if table["minutes"] == options.minutes else empty
            rows = table["rows"] | {name: row}
            write_json(path, table | {"rows": {key: rows[key] for key in ROWS if key in rows}})
            print(name, {key: round(value, 3) for key, value in row.items()}, flush=True)


if __name__ == "__main__":
    main()
