"""RAVE 2 by its authors' code, trained for the same time on the same sounds, exported by them, and scored from outside.

`python benchmarks/rave.py SOURCE --data FOLDER --minutes 20` needs a clone of https://github.com/acids-ircam/RAVE (f048ec4) and
its libraries (`pip install --no-deps --target libs gin-config cached_conv nn-tilde pytorch_lightning lightning-utilities
torchmetrics udls lmdb GPUtil absl-py einops flask werkzeug itsdangerous blinker`, with `PYTHONPATH=libs`). Their networks, losses,
schedule and export are used as they are (preset v2, batches of 8 times three seconds, in which a whole clip stands where their losses look), but
without Lightning's loop, which counts no processor time. The row goes to outputs/results/baselines.json, beside the others.
"""

import argparse
import sys
import time
import types
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from samplevae.baseline import TrainingSounds
from samplevae.baseline_runs import BaselineConfig, key_of, read_rows
from samplevae.baseline_scores import copying_scores, plot_ten, reconstruction_scores, usual_embeddings
from samplevae.baseline_table import BASELINE_RESULTS
from samplevae.baselines.rave import Rave
from samplevae.dataset import prepare_store
from samplevae.files import write_json
from samplevae.flow_results import embed_and_score
from samplevae.monitoring import held_out
from samplevae.runs import Progress, Run
from samplevae.untrusted import sounds_from_rave

NAME = "RAVE by its authors' code"
LATENT_RATIO = 2048  # samples for each frame of latents
WINDOW = 131_072  # samples of their training, three seconds


def import_rave(source):
    "RAVE's package, with what NumPy, SciPy and Lightning have changed since it was written."
    import scipy.signal

    scipy.signal.kaiser = scipy.signal.windows.kaiser
    sys.path.insert(0, str(source))
    import gin
    import rave
    from rave import pqmf

    pqmf.kaiserord = lambda level, width: scipy.signal.kaiserord(level, np.asarray(width).item())
    pqmf.firwin = lambda n, cut, nyq, **options: scipy.signal.firwin(n, np.asarray(cut).item(), fs=2 * nyq, **options)
    gin.parse_config_file("configs/v2.gin")
    return rave


def prepare_model(rave):
    "An untrained model that can take steps without Lightning's loop."
    model = rave.RAVE(n_channels=1)
    model.receptive_field[0], model.receptive_field[1] = rave.core.get_rave_receptive_field(model)
    (first, second), model.log, model.log_dict = (
        model.configure_optimizers(),
        lambda *a, **b: None,
        lambda *a, **b: None,
    )
    model.optimizers = lambda: (first["optimizer"], second["optimizer"])
    return model.train(), first["lr_scheduler"]["scheduler"], rave.BetaWarmupCallback()


def train(rave, sounds, minutes, most_steps=0):
    "Steps of their training until the time is spent -> the model, and the number of steps."
    model, scheduler, beta = prepare_model(rave)
    left = min(int(model.receptive_field[0]), WINDOW - sounds.clips.shape[1])  # which they cut off before the losses
    progress, begun, step = Progress("RAVE", 1000), time.process_time(), 0
    while (share := (time.process_time() - begun) / 60 / minutes) < 1 and step != (most_steps or -1):
        x, _ = sounds.batch(step, 8)
        beta.on_train_batch_start(None, model, None, step)
        model.training_step(F.pad(x, (left, WINDOW - left - x.shape[1]))[:, None], step)
        scheduler.step()
        step += 1
        progress.update(round(1000 * share))
    return model.eval(), step


@torch.no_grad()
def analyse_latents(model, x):
    "The principal axes of the latents, as their validation finds them: which of them an export keeps."
    silent = types.SimpleNamespace(add_audio=lambda *a: None)
    model._trainer = types.SimpleNamespace(state=types.SimpleNamespace(stage=None))
    type(model).logger = types.SimpleNamespace(experiment=silent)
    parts = F.pad(x, (0, -x.shape[1] % LATENT_RATIO))[:, None].split(8)
    outputs = [model.validation_step(part, 0) for part in parts]
    model.validation_epoch_end(outputs)


def export(model, path):
    "Their export, as their script makes it."
    sys.argv = [sys.argv[0]]
    from scripts.export import VariationalScriptedRAVE

    for module in model.modules():
        if hasattr(module, "weight_g"):
            torch.nn.utils.remove_weight_norm(module)
    scripted = VariationalScriptedRAVE(pretrained=model, fidelity=0.95)
    scripted.decode(scripted.encode(torch.zeros(1, 1, 2**14)))
    scripted.export_to_ts(str(path))
    torch.set_grad_enabled(True)  # which their script turns off
    return scripted.latent_size


def score(path, store, held):
    "An export -> its row, and ten of its sounds in a picture."
    x, train_store = held.sounds(), store.split("train")
    sounds, rate = sounds_from_rave(path, x, store.rate, len(x))
    assert rate == store.rate
    back, new = (F.pad(part[:, : x.shape[1]], (0, max(0, x.shape[1] - part.shape[1]))) for part in sounds.values())
    by, reference = usual_embeddings(store)
    row = reconstruction_scores(x, back, held.table.group.to_numpy(), store.rate)
    row |= embed_and_score(new, reference, by, store.rate) | copying_scores(new, train_store, held)
    return row, plot_ten(x, back, new, store.rate)


def main():
    "Train, export, score; the row is put into the table."
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("source", type=Path, help="a clone of RAVE's source")
    options.add_argument("--data", default="synthesis", help="a folder of sounds; default: the synthesiser")
    options.add_argument("--minutes", type=float, default=20)
    options.add_argument("--most-steps", type=int, default=0)
    options.add_argument("--out", type=Path, default=Path("outputs/rave"))
    options.add_argument("--results", type=Path, default=BASELINE_RESULTS)
    options = options.parse_args()
    if not (kept := read_rows(options.results))["rows"]:
        raise SystemExit(f"{options.results} has no rows: samplevae baselines first, whose table this one joins")
    config = BaselineConfig(sample_rate=44_100, seconds=1.5, data=options.data, minutes=options.minutes)
    store = prepare_store(Run.create(options.out, config))
    held, torch_threads = held_out(store).sample(config.most_sounds), torch.get_num_threads()
    torch.set_num_threads(1), torch.manual_seed(1)
    rave = import_rave(options.source)
    sounds = TrainingSounds(Rave.for_store(store), store.split("train"), 1)
    model, steps = train(rave, sounds, options.minutes, options.most_steps)
    size = sum(weight.numel() for part in (model.encoder, model.decoder) for weight in part.parameters()) / 1e6
    analyse_latents(model, held.sounds(slice(64)))
    numbers = export(model, options.out / "rave.ts")
    torch.set_num_threads(torch_threads)
    row, picture = score(options.out / "rave.ts", store, held)
    row = {"baseline": NAME, "seed": 1, "millions": size, "steps": steps, "minutes": options.minutes} | row
    row["code size"] = numbers * -(-held.clips.shape[1] // LATENT_RATIO)
    kept["rows"] = [other for other in kept["rows"] if key_of(other) != key_of(row)] + [row | {"curve": []}]
    write_json(options.results, kept)
    (options.results.parent / "baselines").mkdir(exist_ok=True)
    picture.savefig(options.results.parent / f"baselines/{NAME}.png", dpi=60)
    print({key: value for key, value in row.items() if key in ("steps", "code size", "log-mel, dB", "Fréchet, aisfx")})


if __name__ == "__main__":
    main()
