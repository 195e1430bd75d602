"""What each kind of judges adds to a trained model in the same time, on one thread.

`python benchmarks/judges.py RUN --minutes 2` takes the model of a finished run through a second phase with each kind of judges,
and with none (the decoder goes on by the distance alone), for two minutes of processor time each. The table goes to
data/judges.json, which the chapter on discriminators shows.
"""

import argparse
import time

import numpy as np
import torch

from samplevae.checkerboard import report
from samplevae.dataset import store_of
from samplevae.embeddings import mel_embedding
from samplevae.layers import folded
from samplevae.losses import compared
from samplevae.metrics import frechet
from samplevae.runs import CLONE, Config, Run, asdict, hardware, write_json
from samplevae.training import Adversarial, batch_of, fabric_of, follow, held_out, nearness, reconstruct
from samplevae.vae import SampleVAE

ROWS = {
    "as it was": None,
    "no judges": dict(judged=0.0, judge_size=1),
    "frames": dict(judges="frames"),
    "spectrum": dict(judges="spectrum", judge_size=16),
    "scale": dict(judges="scale", judge_size=16),
    "period": dict(judges="period", judge_size=16),
    "frames, relative": dict(judges="frames", verdict="relative"),
    "frames, squares": dict(judges="frames", verdict="squares"),
    "frames, shuffled": dict(judges="frames", shuffle=2),
    "frames, encoder free": dict(judges="frames", frozen="no"),
}


def go_on(folder, config, sounds, seconds):
    "A second phase of so many seconds of processor time; the averaged model, and its steps."
    torch.manual_seed(config.seed)
    model, average = (SampleVAE.load(folder) for _ in range(2))
    model.config = config
    model.train(), average.requires_grad_(False)
    phase = Adversarial(model, 1000, fabric_of(config))
    begin = time.process_time()
    for step in range(3):  # how long is a step?
        phase.step(batch_of(sounds, config, step), 0)
    phase.steps, begin = max(3, round(3 * seconds / (time.process_time() - begin))), time.process_time()
    for step in range(phase.steps):
        torch.manual_seed(step)
        phase.step(batch_of(sounds, config, step), step)
        follow(average, model, config.average, step)
    return average.eval(), phase.steps, time.process_time() - begin


def score(model, store):
    "How near held-out sounds come back, and what stands out."
    train, x = store.split("train"), held_out(store).sounds(slice(0, 256))
    real = mel_embedding(train.sounds(np.sort(np.random.default_rng(0).permutation(len(train))[:2000])), store.rate)
    y, marks = reconstruct(model, x, 16), report(model, 64)
    found = {name: value.nanmedian().item() for name, value in compared(x, y, store.rate).items()}
    row = {"Fréchet (mel)": frechet(real, mel_embedding(y, store.rate)), "energy distance": nearness(model, x)}
    row |= {name: found[name] for name in ("spectral distance", "log-mel, dB", "decay, ms")}
    return row | {"comb, dB": marks["comb"], "highest line, dB": marks["highest line"]}


def main():
    "Print the table, and keep it."
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("run", help="folder of a finished run")
    options.add_argument("--minutes", type=float, default=2)
    options = options.parse_args()
    torch.set_num_threads(1)
    run = Run.open(options.run)
    store, rows = store_of(run), {}
    for name, changes in ROWS.items():
        model, about = SampleVAE.load(run / "vae"), {"steps": 0, "s a step": 0.0}
        if changes is not None:
            config = Config(**asdict(run.config) | changes | {"adversarial_steps": 1})
            model, steps, spent = go_on(run / "vae", config, store.split("train"), 60 * options.minutes)
            about = {"steps": steps, "s a step": spent / steps}
        rows[name] = about | score(folded(model), store)
        print(name, {key: round(value, 3) for key, value in rows[name].items()}, flush=True)
    about = {"minutes": options.minutes, "sounds": store.report["source"], "rate": store.rate, "hardware": hardware()}
    write_json(CLONE / "data/judges.json", about | {"rows": rows})


if __name__ == "__main__":
    main()
