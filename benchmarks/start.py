"""How much sooner a folder is learned by a model that begins from a published instrument.

`python benchmarks/start.py FOLDER --instrument one-shots`, FOLDER being the one that the instrument was trained on. Half of the
groups that it has never heard are the new folder, the other half are scored. On one thread: what the instrument knows without
any training, after `--minutes` (3), and what a model of the same form knows from scratch, after as many and after `--long` (15).
The table goes to benchmarks/results/start.json; what is trained already is not trained again.
"""

import argparse
import time

import numpy as np
import torch
from presets import learn

from samplevae.config import START_SETTINGS, Config
from samplevae.files import CLONE, read_json, write_json
from samplevae.monitoring import reconstruct
from samplevae.reconstruction import recognised, reconstruction_metrics
from samplevae.runs import hardware
from samplevae.sources import folder_source
from samplevae.store import Store
from samplevae.vae import SampleVAE, locate, start_from


def recorded_store(folder, rate, seconds):
    "The store of a folder of recorded sounds, which the benchmarks share."
    path = CLONE / f"outputs/recorded/store-{rate}-{seconds:g}"
    return Store.open(path) if path.exists() else Store.prepare(folder_source(folder), path, rate, seconds)


def score(model, x, rate):
    "Medians over sounds (n, T), and the share whose reconstruction is nearest to its own original."
    y = reconstruct(model, x, 16)
    values = [reconstruction_metrics(*parts, rate) for parts in zip(x.split(64), y.split(64), strict=True)]
    row = {name: torch.cat([part[name] for part in values]).nanmedian().item() for name in values[0]}
    row["recognised"] = recognised(x, y, rate).double().mean().item()
    return row


def main():
    "Train what is not trained yet, and write the table."
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", help="of sounds")
    options.add_argument("--instrument", default="one-shots")
    options.add_argument("--minutes", type=float, default=3)
    options.add_argument("--long", type=float, default=15)
    options = options.parse_args()
    torch.set_num_threads(1)
    other = SampleVAE.from_pretrained(locate(options.instrument))
    form = vars(other.config)
    store = recorded_store(options.folder, form["sample_rate"], form["seconds"])
    unheard = store.split("test")
    groups = np.random.default_rng(0).permutation(sorted(set(unheard.table.group)))
    own = unheard.table.group.isin(groups[: len(groups) // 2])
    folder = unheard.with_table(unheard.table[own])
    held = unheard.with_table(unheard.table[~own]).sounds()
    ways = {f"from scratch, {minutes:g} minutes": (False, minutes) for minutes in (options.minutes, options.long)}
    ways |= {f"begun from {options.instrument}, no training": (True, 0)}
    ways |= {f"begun from {options.instrument}, {options.minutes:g} minutes": (True, options.minutes)}
    rows = {}
    for name, (begun, minutes) in ways.items():
        place = CLONE / "outputs/start" / f"{name.replace(' ', '_')}.json"
        if not place.exists():
            own = START_SETTINGS if begun else {key: START_SETTINGS[key] for key in ("beta", "augment")}
            config = Config.preset("cpu", **form | own | {"device": "cpu"})
            torch.manual_seed(0)
            model = SampleVAE(config)
            start_from(model, other) if begun else None
            model, steps = learn(model, config, folder, 60 * minutes, name)
            write_json(place, {"steps": steps} | score(model, held, store.rate))
        rows[name] = read_json(place)
    about = {"instrument": options.instrument, "sounds": len(folder), "held out": len(held), "groups": len(groups)}
    about |= {"date": time.strftime("%Y-%m-%d"), "hardware": hardware(), "rows": rows}
    write_json(CLONE / "benchmarks/results/start.json", about)
    for name, row in rows.items():
        print(name, {key: round(value, 3) for key, value in row.items()})


if __name__ == "__main__":
    main()
