"""What parts of the model, its capacity and the length of its sounds are worth on recorded sounds.

`python benchmarks/recorded.py FOLDER --minutes 7` trains models of the form of the published instrument `one-shots`, each for so
many minutes of processor time on one thread, and scores all held-out sounds. A row that is trained is kept in outputs/recorded and
not trained again; `--table parts` (or capacity, length) takes one table alone. All go to benchmarks/results/recorded.json.
"""

import argparse
import time

import torch
import yaml
from presets import learn
from start import recorded_store, score

from samplevae.config import Config
from samplevae.decoder import sounding_frames
from samplevae.embeddings import mel_embedding
from samplevae.files import CLONE, read_json, write_json
from samplevae.latents import decode_parts
from samplevae.metrics import frechet
from samplevae.mixtures import MixturePrior, NormalPrior
from samplevae.monitoring import held_out, reconstruct
from samplevae.pitch import fall_agreement
from samplevae.prior import generate
from samplevae.rates import rate
from samplevae.reconstruction import level_after_end, log_mel, recognised
from samplevae.runs import hardware
from samplevae.vae import SampleVAE
from samplevae.vectors import encode_posteriors, encode_vectors

TABLES = {
    "parts": {
        "as published": {},
        "the fall taught": {"fall_weight": 1.0},
        "four partials": {"partials": 4},
        "24 harmonics by the oscillator": {"harmonics": 24, "partials": 24},
        "no harmonics": {"harmonics": 0},
        "without a gate": {"gate": False},
        "floor of the loss at 1e-3": {"magnitude_floor": 1e-3},
    },
    "capacity": {
        "as published": {},
        "32 numbers": {"latent": 32},
        "128 numbers": {"latent": 128},
        "a quarter of beta": {"beta": 1.25e-4},
        "four times beta": {"beta": 2e-3},
        "128 numbers, a quarter of beta": {"latent": 128, "beta": 1.25e-4},
    },
    "length": {"1 second": {"seconds": 1.0}, "as published": {}, "3 seconds": {"seconds": 3.0}},
}


@torch.no_grad()
def tone(model, x, rate):
    "Of sounds (n, T) whose pitch falls, how well the fall comes back; of those with a pitch, the share of the oscillator."
    correlation, distance = fall_agreement(x, reconstruct(model, x, 16), rate)
    row = {
        "sounds that fall": correlation.isfinite().sum().item(),
        "correlation of the fall": correlation.nanmedian().item(),
        "octaves apart in the fall": distance.nanmedian().item(),
    }
    if model.config.pitch_dims:
        vectors = encode_vectors(model, x)
        parts = [decode_parts(model, part)[:2] for part in vectors[vectors[:, 1] > 0.9].split(64)]
        shares = [tones.square().sum(1) / (waves.square().sum(1) + 1e-9) for waves, tones in parts]
        row["share of the oscillator where there is a pitch"] = torch.cat(shares).median().item()
    return row


def silence(model, x, rate):
    "Of sounds (n, T) that take less than half of a clip: the level after their end, and the share that is silent there."
    hop = model.config.hop_length
    x = x[sounding_frames(x, hop, 8 * model.config.columns).mean(1) < 0.5]
    level = torch.cat([level_after_end(part, reconstruct(model, part), rate) for part in x.split(64)])
    return {
        "short sounds": len(x),
        "after the end, dB": level.median().item(),
        "silent": (level < -80).double().mean().item(),
    }


def first_second(model, x, rate):
    "How near the first second comes back, whatever the length."
    x, y = x[:, :rate], reconstruct(model, x, 16)[:, :rate]
    error = torch.cat(
        [
            (log_mel(a, rate) - log_mel(b, rate)).abs().flatten(1).mean(1)
            for a, b in zip(x.split(64), y.split(64), strict=True)
        ]
    )
    return {
        "first second, log-mel, dB": error.median().item(),
        "first second, recognised": recognised(x, y, rate).double().mean().item(),
    }


def nats(model, store):
    "What held-out sounds cost under the normal prior and under a mixture, and how far the mixture's new sounds are from real ones."
    torch.manual_seed(0)
    held, train = (encode_posteriors(model, part) for part in (held_out(store), store.split("train")))
    priors = {"normal": NormalPrior.fit(train, model.config), "mixture": MixturePrior.fit(train, model.config)}
    row = {f"nats, {name} prior": rate(prior, held)[0] for name, prior in priors.items()}
    real = mel_embedding(store.split("train").sample(1500).sounds(), store.rate)
    for name, prior in priors.items():
        row[f"Fréchet (mel), {name} prior"] = frechet(real, mel_embedding(generate(model, prior, 523), store.rate))
    return row


def row_of(name, changes, options):
    "Train a model, if that is not done, and score it."
    kept = CLONE / f"outputs/recorded/{name.replace(' ', '_')}.json"
    recipe = yaml.safe_load((CLONE / "nbs/experiments/one-shots.yaml").read_text())["common"]
    common = {key: value for key, value in recipe.items() if key not in ("preset", "prior")} | changes
    if not kept.exists():
        store = recorded_store(options.folder, 44_100, common["seconds"])
        config = Config.preset(recipe["preset"], **common | {"device": "cpu"})
        torch.manual_seed(0)
        model, steps = learn(SampleVAE(config), config, store.split("train"), 60 * options.minutes, name)
        x = held_out(store).sounds()
        parts = score(model, x, store.rate) | silence(model, x, store.rate) | tone(model, x, store.rate)
        parts |= first_second(model, x, store.rate) | nats(model, store)
        write_json(kept, {"steps": steps} | parts | {"cut short": held_out(store).table.cut.astype(float).mean()})
    return read_json(kept)


def main():
    "Train what is not trained yet, and write the tables."
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", help="of sounds")
    options.add_argument("--minutes", type=float, default=7)
    options.add_argument("--table", choices=TABLES, help="one of the tables")
    options = options.parse_args()
    torch.set_num_threads(1)
    path = CLONE / "benchmarks/results/recorded.json"
    for table, rows in TABLES.items():
        for name, changes in rows.items() if options.table in (None, table) else ():
            row = row_of(name, changes, options)
            print(name, {key: round(value, 3) for key, value in row.items()}, flush=True)
            known = read_json(path, {})
            found = {key: value for key, value in (known.get(table, {}) | {name: row}).items() if key in rows}
            write_json(path, known | {table: {key: found[key] for key in rows if key in found}})
    store = recorded_store(options.folder, 44_100, 1.5)
    about = {"minutes": options.minutes, "sounds": len(store), "held out": len(held_out(store))}
    about |= {
        "groups": held_out(store).table.group.nunique(),
        "date": time.strftime("%Y-%m-%d"),
        "hardware": hardware(),
    }
    write_json(path, read_json(path, {}) | about)


if __name__ == "__main__":
    main()
