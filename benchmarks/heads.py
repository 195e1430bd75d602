"""Every head, trained for the same time on the same sounds with the same schedule, front end and loss but where it says so.

`python benchmarks/heads.py FOLDER --minutes 10` takes ten minutes a head, on one thread. It leaves the curves and the
table in benchmarks/results/heads.json and a picture in nbs/images, which the chapter of results shows, and the models in
outputs/heads. A head whose model is there is not trained again.
"""

import argparse
import json
import time
from itertools import count

import torch
from tqdm import tqdm

from samplevae.checkerboard import decoder_artifacts, measure_artifacts
from samplevae.config import Config
from samplevae.display import spectrogram_rows, use_style
from samplevae.files import CLONE, read_json, write_json
from samplevae.losses import spectral_distance
from samplevae.monitoring import held_out, reconstruct, reconstruction_energy_distance
from samplevae.phases import RepresentationPhase, make_fabric, training_batch
from samplevae.runs import hardware, median_seconds
from samplevae.sources import folder_source
from samplevae.store import Store
from samplevae.vae import SampleVAE, count_parameters_and_flops

HEADS = {
    "istft": dict(head="istft"),
    "rave": dict(head="rave"),
    "melgan": dict(head="melgan"),
    "istft, plain distance": dict(head="istft", energy_weight=0),
    "rave, plain, no noise": dict(head="rave", energy_weight=0, noise_bands=0),
    "istft, front end bands": dict(head="istft", frontend="bands"),
}


def distance(model, x):
    "The spectral distance of held-out sounds to their reconstructions."
    y = reconstruct(model, x, 8)
    return spectral_distance(x[:, None], y[:, None]).mean().item()


def learn(model, config, sounds, held, seconds, name):
    "Train for so many seconds of processor time; (step, seconds, held-out distance) after every twentieth of them."
    used, curve, phase = 0.0, [], RepresentationPhase(model, config, 1000, make_fabric(config))
    bar = tqdm(total=round(seconds), desc=name, unit="s")
    for step in count():
        x, begin = training_batch(sounds, config, step), time.process_time()  # other work on the machine does not count
        terms = phase.step(x, min(999, int(1000 * used / seconds)))  # the schedule goes by time
        used += time.process_time() - begin
        bar.n = min(round(used), bar.total)
        bar.set_postfix(step=step, distance=f"{terms['spectral_distance'].item():.3f}")
        if used > seconds or used / seconds * 20 >= len(curve) + 1:
            curve.append((step + 1, round(used, 1), distance(model, held)))
        if used > seconds:
            return curve


def decoding(model):
    "Milliseconds to decode one sound."
    z = torch.randn(1, *model.shape)
    with torch.inference_mode():
        return 1e3 * median_seconds(lambda: model.decode(z))


def picture(models, held, rate):
    "Eight held-out sounds, and their reconstructions by each model."
    rows = {"original": held[::8]} | {name: reconstruct(model, held[::8]) for name, model in models.items()}
    figure = spectrogram_rows([(name.replace(", ", ",\n"), sounds) for name, sounds in rows.items()], rate)
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
    use_style()
    place = CLONE / "outputs/heads"
    place.mkdir(parents=True, exist_ok=True)
    path = place / "store"
    store = Store.open(path) if path.exists() else Store.prepare(folder_source(options.folder), path, 44_100, 1.0)
    held = held_out(store).sample(64).sounds()
    for name, changes in HEADS.items():
        if options.only in (None, name) and not (place / name / "curve.json").exists():
            config = Config.preset("gpu", size=options.size, batch_size=8, device="cpu", **changes)
            torch.manual_seed(0)
            model = SampleVAE(config)
            curve = learn(model, config, store.split("train"), held, 60 * options.minutes, name)
            model.save_pretrained(place / name)
            write_json(place / name / "curve.json", {"minutes": options.minutes, "curve": curve})
    rows, models = {}, {}
    for name in HEADS:
        if (place / name / "curve.json").exists():
            model = models[name] = SampleVAE.from_pretrained(place / name)
            trained = read_json(place / name / "curve.json")
            sizes, marks = count_parameters_and_flops(model), decoder_artifacts(model, 96)
            rows[name] = {
                "decoder, M": sizes["decoder, M"],
                "decodes, ms": decoding(model),
                "steps": trained["curve"][-1][0],
            }
            rows[name] |= {"held-out distance": trained["curve"][-1][2], "highest line, dB": marks["highest line"]}
            rows[name] |= {"average line, dB": marks["average line"], "comb, dB": marks["comb"]}
            rows[name]["energy distance"] = reconstruction_energy_distance(model, held)
            rows[name]["curve"] = trained["curve"]
    silence = spectral_distance(held[:, None], 0 * held[:, None]).mean().item()
    marks = measure_artifacts(store.split("train").sample(96).sounds(), 256)
    about = {
        "real": {"comb, dB": marks["comb"], "highest line, dB": marks["highest line"]},
        "minutes": options.minutes,
        "silence": silence,
        "threads": 1,
        "sounds": store.report["source"],
        "date": time.strftime("%Y-%m-%d"),
        "hardware": hardware(),
    }
    picture(models, held, store.rate)
    write_json(CLONE / "benchmarks/results/heads.json", about | {"heads": rows})
    print(json.dumps({name: {k: v for k, v in row.items() if k != "curve"} for name, row in rows.items()}, indent=1))


if __name__ == "__main__":
    main()
