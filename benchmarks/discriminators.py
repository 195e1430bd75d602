"""What each kind of discriminator adds to a trained model in the same time, on one thread.

`python benchmarks/discriminators.py RUN --minutes 2` takes the model of a finished run through a second phase with each kind,
and with none (the decoder goes on by the distance alone), for two minutes of processor time each. The table goes to
benchmarks/results/discriminators.json, which the chapter of results shows.
"""

import argparse
import time

import numpy as np
import torch

from samplevae.checkerboard import decoder_artifacts
from samplevae.config import Config, open_run
from samplevae.dataset import prepare_store
from samplevae.embeddings import mel_embedding
from samplevae.files import CLONE, write_json
from samplevae.layers import remove_weight_norm
from samplevae.metrics import frechet
from samplevae.monitoring import held_out, reconstruct, reconstruction_energy_distance
from samplevae.phases import AdversarialPhase, make_fabric, training_batch, update_ema
from samplevae.reconstruction import reconstruction_metrics
from samplevae.runs import hardware
from samplevae.vae import SampleVAE

ROWS = {
    "as it was": None,
    "no discriminators": dict(discriminator_share=0.0, discriminator_width=1),
    "framewise": dict(discriminators="framewise"),
    "stft": dict(discriminators="stft", discriminator_width=16),
    "scale": dict(discriminators="scale", discriminator_width=16),
    "period": dict(discriminators="period", discriminator_width=16),
    "framewise, relativistic": dict(discriminators="framewise", gan_loss="relativistic"),
    "framewise, least-squares": dict(discriminators="framewise", gan_loss="least-squares"),
    "framewise, phase shuffle": dict(discriminators="framewise", phase_shuffle=2),
    "framewise, encoder free": dict(discriminators="framewise", freeze_encoder=False),
}


def go_on(folder, config, sounds, seconds):
    "A second phase of so many seconds of processor time; the averaged model, and its steps."
    torch.manual_seed(config.seed)
    model, average = (SampleVAE.from_pretrained(folder) for _ in range(2))
    model.train(), average.requires_grad_(False)
    phase = AdversarialPhase(model, config, 1000, make_fabric(config))
    begin = time.process_time()
    for step in range(3):  # how long is a step?
        phase.step(training_batch(sounds, config, step), 0)
    phase.steps, begin = max(3, round(3 * seconds / (time.process_time() - begin))), time.process_time()
    for step in range(phase.steps):
        torch.manual_seed(step)
        phase.step(training_batch(sounds, config, step), step)
        update_ema(average, model, config.ema_decay, step)
    return average.eval(), phase.steps, time.process_time() - begin


def score(model, store):
    "How near reconstructions are, and what stands out."
    train, x = store.split("train"), held_out(store).sample(256).sounds()
    real = mel_embedding(train.sounds(np.sort(np.random.default_rng(0).permutation(len(train))[:2000])), store.rate)
    y, marks = reconstruct(model, x, 16), decoder_artifacts(model, 64)
    found = {name: value.nanmedian().item() for name, value in reconstruction_metrics(x, y, store.rate).items()}
    row = {
        "Fréchet (mel)": frechet(real, mel_embedding(y, store.rate)),
        "energy distance": reconstruction_energy_distance(model, x),
    }
    row |= {name: found[name] for name in ("spectral distance", "log-mel, dB", "decay, ms")}
    return row | {"comb, dB": marks["comb"], "highest line, dB": marks["highest line"]}


def main():
    "Print the table, and keep it."
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("run", help="folder of a finished run")
    options.add_argument("--minutes", type=float, default=2)
    options = options.parse_args()
    torch.set_num_threads(1)
    run = open_run(options.run)
    store, rows = prepare_store(run), {}
    for name, changes in ROWS.items():
        model, about = SampleVAE.from_pretrained(run / "vae"), {"steps": 0, "s a step": 0.0}
        if changes is not None:
            config = Config(**vars(run.config) | changes | {"adversarial_steps": 1})
            model, steps, spent = go_on(run / "vae", config, store.split("train"), 60 * options.minutes)
            about = {"steps": steps, "s a step": spent / steps}
        rows[name] = about | score(remove_weight_norm(model), store)
        print(name, {key: round(value, 3) for key, value in rows[name].items()}, flush=True)
    about = {
        "minutes": options.minutes,
        "sounds": store.report["source"],
        "rate": store.rate,
        "date": time.strftime("%Y-%m-%d"),
        "hardware": hardware(),
    }
    write_json(CLONE / "benchmarks/results/discriminators.json", about | {"rows": rows})


if __name__ == "__main__":
    main()
