"""Every head, trained for the same time on the same sounds with the same ears, losses and schedule.

`python benchmarks/heads.py FOLDER --minutes 10` takes ten minutes a head, on one thread. It leaves the curves and the table
in data/heads.json, which the chapter on the autoencoder draws, and the models in outputs/heads. A head whose model is
there is not trained again.
"""

import argparse
import json
import math
import time

import torch
from torch import nn
from torch.optim import AdamW
from tqdm import tqdm

from samplevae.checkerboard import report
from samplevae.dataset import Store, folder, prepare
from samplevae.losses import kl, spectral_distance
from samplevae.runs import CLONE, Config, hardware, read_json, write_json
from samplevae.training import batches_from, held_out, reconstruct
from samplevae.vae import SampleVAE, measured

HEADS = {
    "istft": dict(head="istft"),
    "rave": dict(head="rave"),
    "rave, transposed": dict(head="rave", upsampling="transposed", noise=0),
    "melgan": dict(head="melgan"),
}


def distance(model, x):
    "The spectral distance of held-out sounds to what came back."
    model.eval()
    y = reconstruct(model, x, 8)
    model.train()
    return spectral_distance(x[:, None], y[:, None]).mean().item()


def learn(model, sounds, held, seconds, name):
    "Train for so many seconds; the held-out distance after about every twentieth of them."
    config, spent, curve = model.config, 0.0, []
    optimiser = AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=0.01)
    bar = tqdm(total=round(seconds), desc=name, unit="s")
    for step, x in enumerate(batches_from(sounds, config, 0, torch.device("cpu"))):
        begin = time.perf_counter()
        for group in optimiser.param_groups:
            group["lr"] = (
                config.learning_rate * min(1, (step + 1) / 50) * (0.5 + 0.5 * math.cos(math.pi * spent / seconds))
            )
        y, posterior = model(x)
        loss = spectral_distance(x, y).mean()
        price = kl(posterior).flatten(1).sum(1).mean()
        optimiser.zero_grad(set_to_none=True)
        (loss + config.beta * min(1, spent / seconds / 0.3) * price).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        spent += time.perf_counter() - begin
        bar.n = min(round(spent), bar.total)
        bar.set_postfix(step=step, loss=f"{loss.item():.3f}")
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


def main():
    "Train what is not trained yet, and write the table."
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", help="of sounds")
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--only", help="one of the heads")
    options.add_argument("--size", default="base")
    options = options.parse_args()
    torch.set_num_threads(1)
    place = CLONE / "outputs/heads"
    place.mkdir(parents=True, exist_ok=True)
    path = place / "store"
    store = Store.open(path) if path.exists() else prepare(folder(options.folder), path, 44_100, 1.0)
    held = held_out(store).sounds(slice(0, 64))
    for name, changes in HEADS.items():
        if options.only in (None, name) and not (place / name / "curve.json").exists():
            config = Config.preset("gpu", size=options.size, batch=8, learning_rate=7e-4, **changes)
            torch.manual_seed(0)
            model = SampleVAE(config)
            curve = learn(model, store.split("train"), held, 60 * options.minutes, name)
            model.save(place / name)
            write_json(place / name / "curve.json", {"minutes": options.minutes, "curve": curve})
    rows = {}
    for name in HEADS:
        if (place / name / "curve.json").exists():
            model, learned = SampleVAE.load(place / name), read_json(place / name / "curve.json")
            sizes, marks = measured(model), report(model, 96)
            rows[name] = {
                "decoder, M": sizes["decoder, M"],
                "decodes, ms": decoding(model),
                "steps": learned["curve"][-1][0],
            }
            rows[name] |= {"held-out distance": learned["curve"][-1][2], "highest line, dB": marks["highest line"]}
            rows[name] |= {"average line, dB": marks["average line"], "comb, dB": marks["comb"]}
            rows[name]["curve"] = learned["curve"]
    silence = spectral_distance(held[:, None], 0 * held[:, None]).mean().item()
    about = {
        "minutes": options.minutes,
        "silence": silence,
        "threads": 1,
        "sounds": store.report["source"],
        "hardware": hardware(),
    }
    write_json(CLONE / "data/heads.json", about | {"heads": rows})
    print(json.dumps({name: {k: v for k, v in row.items() if k != "curve"} for name, row in rows.items()}, indent=1))


if __name__ == "__main__":
    main()
