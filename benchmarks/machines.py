"""Can a classifier tell the sounds of a published instrument from real ones? `python benchmarks/machines.py FOLDER`.

Held-out sounds of the folder that it was trained on are the real ones. The table goes to benchmarks/results/machines.json.
"""

import argparse
import time

import numpy as np
import torch
from start import recorded_store

from samplevae.aisfx import aisfx, find_aisfx_checkpoint
from samplevae.embeddings import drumnet_for_store, mel
from samplevae.files import CLONE, write_json
from samplevae.mixtures import NormalPrior
from samplevae.monitoring import held_out, reconstruct
from samplevae.prior import fitted_kinds, generate, load
from samplevae.real_or_made import blind_trial, real_or_made
from samplevae.runs import hardware
from samplevae.stimuli import low_anchor
from samplevae.vae import locate
from samplevae.vectors import encode_posteriors


def main():
    "Embed, classify, and write the table."
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", help="of sounds")
    options.add_argument("--instrument", default="one-shots")
    options = options.parse_args()
    torch.set_num_threads(1)
    model, prior = load(options.instrument)
    store = recorded_store(options.folder, model.config.sample_rate, model.config.seconds)
    held, train = held_out(store), store.split("train").sample(523)
    x, groups, rate = held.sounds(), held.table.group.to_numpy(str), store.rate
    sets = {
        "other real sounds": (train.sounds(), train.table.group.to_numpy(str)),
        "reconstructed": (reconstruct(model, x), groups),
    }
    first = fitted_kinds(locate(options.instrument) / "prior")[0]
    priors = {first: prior, "normal": NormalPrior.fit(encode_posteriors(model, store.split("train")), model.config)}
    for kind, own in priors.items():
        sets[f"new, {kind} prior"] = generate(model, own, len(x)), None
    sets["low anchor"] = (low_anchor(x, rate), groups)
    embeddings = {"mel": mel(), "drumnet": drumnet_for_store(store)} | (
        {"aisfx": aisfx()} if find_aisfx_checkpoint() else {}
    )
    rows = {name: {"against held-out sounds": name, "sounds": len(waves)} for name, (waves, _) in sets.items()}
    for by, embedding in embeddings.items():
        real = embedding.embed(x, rate)
        for name, (waves, own) in sets.items():
            score, sure = real_or_made(real, embedding.embed(waves, rate), groups, own)
            rows[name][f"real or made, {by}"] = score.as_dict()
            if own is groups:
                rows[name][f"blind trial, {by}"] = blind_trial(sure, len(x), groups).as_dict()
            print(name, by, score, flush=True)
    about = {"instrument": options.instrument, "held out": len(x), "groups": len(np.unique(groups))}
    about |= {"date": time.strftime("%Y-%m-%d"), "hardware": hardware()}
    write_json(CLONE / "benchmarks/results/machines.json", about | {"rows": [*rows.values()]})


if __name__ == "__main__":
    main()
