"""Every head, trained for the same time on the same sounds with the same schedule, and ears and losses but where it says so.

`python benchmarks/heads.py FOLDER --minutes 10` takes ten minutes a head, on one thread. It leaves the curves and the table
in benchmarks/results/heads.json and a picture in nbs/images, which the chapter on the autoencoder shows, and the models in outputs/heads. A head whose model is
there is not trained again.
"""

import argparse
import json
import math
import time
from itertools import count

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.optim import AdamW
from tqdm import tqdm

from samplevae.checkerboard import decoder_artifacts, measure_artifacts
from samplevae.config import Config
from samplevae.display import STYLE, draw_spectrogram
from samplevae.files import CLONE, read_json, write_json
from samplevae.losses import energy_distance, kl_warmup, spectral_distance
from samplevae.monitoring import held_out, reconstruct
from samplevae.phases import loss_terms, reconstruction_loss, regularization, training_batch
from samplevae.runs import hardware
from samplevae.sources import folder_source
from samplevae.store import Store, prepare
from samplevae.vae import SampleVAE, count_parameters_and_flops

HEADS = {
    "istft": dict(head="istft"),
    "rave": dict(head="rave"),
    "melgan": dict(head="melgan"),
    "istft, plain distance": dict(head="istft", energy_weight=0),
    "rave, plain, no noise": dict(head="rave", energy_weight=0, noise_bands=0),
    "istft, ears bands": dict(head="istft", frontend="bands"),
}


def distance(model, x):
    "The spectral distance of held-out sounds to what came back."
    y = reconstruct(model, x, 8)
    return spectral_distance(x[:, None], y[:, None]).mean().item()


@torch.no_grad()
def energy(model, x):
    "The energy distance of held-out sounds to what may come back."
    torch.manual_seed(0)
    parts = [energy_distance(part, model.decode(model.encode(part).mean, 2)) for part in x[:, None].split(8)]
    far, spread = (torch.cat(part).mean().item() for part in zip(*parts, strict=True))
    return far - (spread / 2 if model.config.noise_bands else 0)


def learn(model, sounds, held, seconds, name):
    "Train for so many seconds; the held-out distance after about every twentieth of them."
    config, spent, curve = model.config, 0.0, []
    optimiser = AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=0.01)
    bar = tqdm(total=round(seconds), desc=name, unit="s")
    for step in count():
        x, begin = training_batch(sounds, config, step), time.process_time()  # other work on the machine does not count
        for group in optimiser.param_groups:
            group["lr"] = (
                config.learning_rate * min(1, (step + 1) / 50) * (0.5 + 0.5 * math.cos(math.pi * spent / seconds))
            )
        terms = loss_terms(model, x, config)
        optimiser.zero_grad(set_to_none=True)
        (reconstruction_loss(terms, config) + regularization(terms, config, kl_warmup(spent, seconds))).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        spent += time.process_time() - begin
        bar.n = min(round(spent), bar.total)
        bar.set_postfix(step=step, distance=f"{terms['distance'].item():.3f}")
        if spent > seconds or spent / seconds * 20 >= len(curve) + 1:
            curve.append((step + 1, round(spent, 1), distance(model, held)))
        if spent > seconds:
            return curve


def decoding(model, repeats=21):
    "Milliseconds to decode one sound."
    times, z = [], torch.randn(1, *model.shape)
    with torch.inference_mode():
        for _ in range(repeats):
            begin = time.perf_counter()
            model.decode(z)
            times.append(time.perf_counter() - begin)
    return 1e3 * sorted(times)[repeats // 2]


def picture(models, held, rate):
    "Eight held-out sounds, and what came back of each from each model."
    rows = {"original": held[::8]} | {name: reconstruct(model, held[::8]) for name, model in models.items()}
    form = dict(figsize=(10, 1.1 * len(rows)), squeeze=False, latent_shape="constrained")
    figure, axes = plt.subplots(len(rows), len(held[::8]), **form)
    for line, (name, sounds) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for axis, sound in zip(line, sounds, strict=True):
            draw_spectrogram(axis, sound, rate, labels=False)
    figure.savefig(CLONE / "nbs/images/heads.png", dpi=64)


def main():
    "Train what is not trained yet, and write the table."
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", help="of sounds")
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--only", help="one of the heads")
    options.add_argument("--size", default="base")
    options = options.parse_args()
    torch.set_num_threads(1)
    plt.rcParams |= STYLE
    place = CLONE / "outputs/heads"
    place.mkdir(parents=True, exist_ok=True)
    path = place / "store"
    store = Store.open(path) if path.exists() else Store.prepare(folder_source(options.folder), path, 44_100, 1.0)
    held = held_out(store).sounds(slice(0, 64))
    for name, changes in HEADS.items():
        if options.only in (None, name) and not (place / name / "curve.json").exists():
            config = Config.preset(
                "gpu", size=options.size, batch_size=8, learning_rate=7e-4, frequency_weighting="flat", tail_weight=1.0, **changes
            )
            torch.manual_seed(0)
            model = SampleVAE(config)
            curve = learn(model, store.split("train"), held, 60 * options.minutes, name)
            model.save_pretrained(place / name)
            write_json(place / name / "curve.json", {"minutes": options.minutes, "curve": curve})
    rows, models = {}, {}
    for name in HEADS:
        if (place / name / "curve.json").exists():
            model = models[name] = SampleVAE.from_pretrained(place / name)
            learned = read_json(place / name / "curve.json")
            sizes, marks = count_parameters_and_flops(model), decoder_artifacts(model, 96)
            rows[name] = {
                "decoder, M": sizes["decoder, M"],
                "decodes, ms": decoding(model),
                "steps": learned["curve"][-1][0],
            }
            rows[name] |= {"held-out distance": learned["curve"][-1][2], "highest line, dB": marks["highest line"]}
            rows[name] |= {"average line, dB": marks["average line"], "comb, dB": marks["comb"]}
            rows[name]["energy distance"] = energy(model, held)
            rows[name]["curve"] = learned["curve"]
    silence = spectral_distance(held[:, None], 0 * held[:, None]).mean().item()
    marks = measure_artifacts(store.split("train").sounds(slice(0, 96)), 256)
    about = {
        "real": {"comb, dB": marks["comb"], "highest line, dB": marks["highest line"]},
        "minutes": options.minutes,
        "silence": silence,
        "threads": 1,
        "sounds": store.report["source"],
        "hardware": hardware(),
    }
    picture(models, held, store.rate)
    write_json(CLONE / "benchmarks/results/heads.json", about | {"heads": rows})
    print(json.dumps({name: {k: v for k, v in row.items() if k != "curve"} for name, row in rows.items()}, indent=1))


if __name__ == "__main__":
    main()
