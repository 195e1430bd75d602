"""What it is worth to teach how a pitch falls: `python benchmarks/falls.py`, half an hour of one core.

Preset `cpu`, on one thread, without the teaching and with it (`fall_weight`), each from three seeds. By kind of drum: by how many octaves the pitch
falls in the first quarter of a second, and by how many the oscillator makes it fall; and how far the tracked pitch of held-out
drums is off once they have come to rest. The table goes to benchmarks/results/falls.json.
"""

import time
from itertools import product

import torch

from samplevae.config import Config
from samplevae.dataset import prepare_store
from samplevae.files import CLONE, write_json
from samplevae.harmonics import join_pitch
from samplevae.monitoring import held_out, reconstruct
from samplevae.pitch import certain_pitch, tracked_pitch_error
from samplevae.runs import Run, hardware
from samplevae.training import load_model
from samplevae.vectors import encode_vectors, split_vectors

SLOW = {"kick": 0.03, "tom": 0.08, "snare": 0.03}  # s, in which most of the synthesiser's fall happens


@torch.no_grad()
def octaves_fallen(model, store, kind):
    "By how many octaves the pitch of held-out sounds of a kind falls, and by how many the oscillator's does; medians."
    table = held_out(store).table
    chosen = table[table.label == kind]
    z, pitch = split_vectors(model, encode_vectors(model, held_out(store).with_table(chosen).sounds()))
    made = model.decoder.oscillator.partials(pitch, join_pitch(z, pitch)).octaves[:, 0]
    moment = torch.tensor([0.5, round(0.25 * store.rate / model.config.hop_length)]) * model.config.hop_length
    sweep = torch.tensor(chosen.sweep.to_numpy())[:, None]
    true = (1 + (2**sweep - 1) * torch.exp(-moment / store.rate / SLOW[kind])).log2()
    return (true[:, 0] - true[:, 1]).median().item(), (
        made[:, 0] - made[:, round(moment[1].item()) // model.config.hop_length]
    ).median().item()


def main():
    "Train both, measure, and write the table."
    torch.set_num_threads(1)
    rows = {}
    for seed, (name, weight) in product(range(3), {"not taught": 0.0, "taught": 1.0}.items()):
        settings = {"device": "cpu", "fall_weight": weight, "seed": seed}
        run = Run(CLONE / f"outputs/falls-{weight:g}-{seed}", Config.preset("cpu", **settings))
        model, store = load_model(run), prepare_store(run)
        x = held_out(store).sample(256).sounds()
        pitch = certain_pitch(x, store.rate)
        off = tracked_pitch_error(pitch, reconstruct(model, x), store.rate)
        row = {f"{kind}, octaves": octaves_fallen(model, store, kind) for kind in SLOW}
        row |= {"with a pitch": off.isfinite().sum().item(), "pitch, semitones": off.nanmean().item()}
        rows[f"{name}, seed {seed}"] = row | {"lost": (off == 12).sum().item()}
        print(name, seed, row)
    about = {"date": time.strftime("%Y-%m-%d"), "hardware": hardware()}
    write_json(CLONE / "benchmarks/results/falls.json", about | {"rows": rows})


if __name__ == "__main__":
    main()
