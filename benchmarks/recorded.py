"""What each part of the decoder, and of the loss, is worth on recorded sounds: `python benchmarks/recorded.py FOLDER --minutes 7`.

Each row is a model of the form of the published instrument `one-shots`, trained for so many minutes of processor time on one
thread; all held-out sounds are scored. A row that is trained is kept in outputs/recorded and not trained again. The table goes to
benchmarks/results/recorded.json.
"""

import argparse
import time

import torch
import yaml
from presets import learn
from start import recorded_store, score

from samplevae.config import Config
from samplevae.decoder import sounding_frames
from samplevae.files import CLONE, read_json, write_json
from samplevae.latents import decode_parts
from samplevae.monitoring import held_out, reconstruct
from samplevae.pitch import fall_agreement
from samplevae.reconstruction import level_after_end
from samplevae.runs import hardware
from samplevae.vae import SampleVAE
from samplevae.vectors import encode_vectors

ROWS = {
    "as published": {},
    "four partials": {"partials": 4},
    "24 harmonics by the oscillator": {"harmonics": 24, "partials": 24},
    "no harmonics": {"harmonics": 0},
    "the fall not taught": {"fall_weight": 0.0},
    "without a gate": {"gate": False},
    "floor of the loss at 1e-3": {"magnitude_floor": 1e-3},
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


def main():
    "Train what is not trained yet, and write the table."
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", help="of sounds")
    options.add_argument("--minutes", type=float, default=7)
    options.add_argument("--only", help="one of the rows")
    options = options.parse_args()
    torch.set_num_threads(1)
    recipe = yaml.safe_load((CLONE / "nbs/experiments/one-shots.yaml").read_text())["common"]
    common = {key: value for key, value in recipe.items() if key != "preset"}
    place = CLONE / "outputs/recorded"
    store = recorded_store(options.folder, 44_100, common["seconds"])
    x, rows = held_out(store).sounds(), {}
    for name, changes in ROWS.items():
        kept = place / f"{name.replace(' ', '_')}.json"
        if options.only in (None, name) and not kept.exists():
            config = Config.preset(recipe["preset"], **common | changes | {"device": "cpu"})
            torch.manual_seed(0)
            model, steps = learn(SampleVAE(config), config, store.split("train"), 60 * options.minutes, name)
            scored = score(model, x, store.rate) | silence(model, x, store.rate) | tone(model, x, store.rate)
            write_json(kept, {"steps": steps} | scored)
        if kept.exists():
            rows[name] = read_json(kept)
    about = {"minutes": options.minutes, "sounds": len(store), "held out": len(x)}
    about |= {
        "groups": held_out(store).table.group.nunique(),
        "date": time.strftime("%Y-%m-%d"),
        "hardware": hardware(),
    }
    write_json(CLONE / "benchmarks/results/recorded.json", about | {"rows": rows})
    for name, row in rows.items():
        print(name, {key: round(value, 3) for key, value in row.items()})


if __name__ == "__main__":
    main()
