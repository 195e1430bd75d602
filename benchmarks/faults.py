"""Which measure sees which fault, on recorded one-shots.

`python benchmarks/faults.py FOLDER` takes a folder of labelled one-shots, gives half of its groups to the reference and half to
the others, spoils the others in seven ways and four degrees, and measures each set in each embedding. The tables go to
benchmarks/results/faults.json, which the chapter on metrics shows. A few minutes on two cores.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torchaudio.functional import resample

from samplevae.comparison import split_in_half_by_group
from samplevae.embeddings import drumnet, make_drumnet, mel
from samplevae.files import CLONE, write_json
from samplevae.metrics import all_metrics
from samplevae.novelty import find_copies, memorised
from samplevae.runs import Progress, hardware
from samplevae.sources import folder_source
from samplevae.store import Store

DEGREES = {
    "noise": (0.001, 0.003, 0.01, 0.03),  # level
    "low-pass": (0.7, 0.4, 0.2, 0.1),  # share of the frequencies that is left
    "clipping": (2, 4, 10, 30),  # gain
    "pitch": (0.5, 1, 2, 4),  # up to so many semitones up or down
    "fewer sounds": (2, 5, 20, 60),  # how often each that is left is there
    "fewer kinds": (0.5, 0.25, 0.1, 0.05),  # share of the labels that is left
    "copies": (0.1, 0.3, 0.6, 1.0),  # share of sounds that are taken from the reference
}


def dull(x, keep):
    "Without the higher frequencies."
    spectrum = torch.fft.rfft(x)
    spectrum[:, int(keep * spectrum.shape[1]) :] = 0
    return torch.fft.irfft(spectrum, x.shape[1])


def transposed(x, limit, generator):
    "Each sound at another pitch (and length)."
    shifts = generator.choice([-1, 1], len(x)) * limit
    parts = []
    for sound, shift in zip(x, shifts, strict=True):
        other = resample(sound, 1000, round(1000 / 2 ** (shift / 12)))[: x.shape[1]]
        parts.append(torch.nn.functional.pad(other, (0, x.shape[1] - len(other))))
    return torch.stack(parts)


def spoiled(fault, degree, x, labels, reference):
    "Sounds with a fault."
    generator = np.random.default_rng(0)
    if fault == "noise":
        return x + degree * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    if fault == "low-pass":
        return dull(x, degree)
    if fault == "clipping":
        return (x * degree).clamp(-0.99, 0.99)
    if fault == "pitch":
        return transposed(x, degree, generator)
    if fault == "fewer sounds":
        return x[generator.permutation(len(x))[: len(x) // degree]].repeat(degree + 1, 1)[: len(x)]
    if fault == "fewer kinds":
        kinds = generator.permutation(sorted(set(labels)))
        left = x[np.isin(labels, kinds[: max(1, int(degree * len(kinds)))])]
        return left.repeat(len(x) // len(left) + 1, 1)[: len(x)]
    some = generator.permutation(len(reference))[: int(degree * len(x))]
    return torch.cat([reference[some], x[: len(x) - len(some)]])


def main():
    "Measure, and write benchmarks/results/faults.json."
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--rate", type=int, default=44_100)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        both = split_in_half_by_group(
            Store.prepare(folder_source(given.folder), Path(place) / "store", given.rate, 1.0)
        )
        reference, others = both.split("train").sounds(), both.split("test").sounds()
        labels = both.split("test").table.label.to_numpy()
        make_drumnet(both, Path(place) / "drumnet.safetensors")
        embeddings = [mel(), drumnet(Path(place) / "drumnet.safetensors")]
        sets = {"none": others} | {
            f"{fault} {n}": spoiled(fault, degree, others, labels, reference)
            for fault, degrees in DEGREES.items()
            for n, degree in enumerate(degrees, 1)
        }
        points = {each.name: {name: each.embed(x, both.rate) for name, x in sets.items()} for each in embeddings}
        real = {each.name: each.embed(reference, both.rate) for each in embeddings}
        progress, rows = Progress("measure", len(embeddings) * len(sets)), {each.name: {} for each in embeddings}
        for each in embeddings:
            for name in sets:
                rows[each.name][name] = all_metrics(real[each.name], points[each.name][name])
                progress.update(sum(map(len, rows.values())))
        held, new = points["mel"]["none"][::2], {name: cloud[1::2] for name, cloud in points["mel"].items()}
        for name, cloud in new.items():
            rows["mel"][name]["memorised"] = memorised(real["mel"], held, cloud, repeats=100)
        shared, _, line = find_copies(reference, others[::2], others[1::2], both.rate)
        cut = find_copies(reference, others[::2], 0.3 * reference[:200, : both.rate // 4], both.rate)[0]
    about = (
        f"{len(reference)} drums and notes against {len(others)} of other groups, 44.1 kHz, 1 s; {embeddings[1].about}"
    )
    content = {
        "date": time.strftime("%Y-%m-%d"),
        "hardware": hardware(),
        "about": about,
        "seen": {name: seen(rows[name]) for name in rows},
        "curves": {name: curves(rows[name]) for name in rows},
        "fingerprints": {
            "threshold": line,
            "others above it": float((shared > line).mean()),
            "softer quarters of a second above it": float((cut > line).mean()),
        },
    }
    write_json(CLONE / "benchmarks/results/faults.json", content)
    for name, table in content["seen"].items():
        print(name, *(f"{measure:12} {row}" for measure, row in table.items()), sep="\n")
    print(about, content["fingerprints"], sep="\n")


def curves(rows):
    "Values by measure and fault, from none to much."
    return {
        measure: {
            fault: [float(rows[name][measure]) for name in ("none", *(f"{fault} {n}" for n in range(1, 5)))]
            for fault in DEGREES
        }
        for measure in rows["none"]
    }


def seen(rows):
    "The first degree from which on the difference to unspoiled sounds, half by half, leaves no doubt that it is worse."
    table = {}
    for measure, usual in rows["none"].items():
        worse = 1 if "↓" in measure or measure == "memorised" else -1
        for fault in DEGREES:
            found = "–"
            for degree in range(4, 0, -1):
                change = rows[f"{fault} {degree}"][measure].minus(usual)
                if not (change.low > 0 if worse > 0 else change.high < 0):
                    break
                found = str(degree)
            table.setdefault(fault, {})[measure] = found
    return table


if __name__ == "__main__":
    main()
