"""The pictures and numbers of a finished run on recorded sounds, for the chapter of results.

`samplevae batch nbs/experiments/one-shots.yaml --data FOLDER` and then `python benchmarks/real.py outputs/published/one-shots`,
which leaves benchmarks/results/real.json and four pictures in nbs/images. What is played there is not kept: the sounds are not
ours.
"""

import sys
import time

import torch

from samplevae.checkerboard import decoder_artifacts, measure_artifacts
from samplevae.config import describe_settings, open_run
from samplevae.dataset import prepare_store
from samplevae.display import spectrogram_rows, use_style
from samplevae.files import CLONE, write_json
from samplevae.latents import decode_parts
from samplevae.monitoring import (
    TrainingLog,
    held_out,
    plot_curves,
    plot_pairs,
    reconstruct,
    reconstruction_energy_distance,
)
from samplevae.pitch import certain_pitch, fall_agreement, tracked_pitch_error
from samplevae.prior import generate, load
from samplevae.reconstruction import recognised
from samplevae.training import best_and_worst_reconstructions, training_summary
from samplevae.vae import SampleVAE
from samplevae.vectors import decode_vectors, encode_vectors

KINDS = 3, 10  # held-out sounds of a kind, and kinds in a picture
DRUMS = ("kick", "tom", "snare", "percussion")  # labels, of which some sounds have a pitch


def chosen_by_kind(table, most=3):
    "Some sounds of each kind, evenly picked, by kind."
    rows = {}
    for kind, part in table.reset_index(drop=True).groupby("label"):
        rows[kind] = part.index[:: max(1, len(part) // most)][:most].tolist()
    return rows


def plot_kinds(model, held):
    "Two pictures of fifty held-out sounds, a row for each kind: original, reconstruction, the next original, and so on."
    rows, kinds = [], chosen_by_kind(held.table, KINDS[0])
    for kind, places in kinds.items():
        x = held.with_table(held.table.iloc[places]).sounds()
        rows.append((kind, torch.stack([x, reconstruct(model, x)], 1).flatten(0, 1)))
    for number, part in enumerate((rows[: KINDS[1]], rows[KINDS[1] :]), 1):
        picture(part, held.rate, f"real_kinds_{number}")


def picture(rows, rate, name):
    "Rows of spectrograms as a small picture."
    spectrogram_rows(rows, rate).savefig(CLONE / f"nbs/images/{name}.png", dpi=55)


def plot_draws(run, rate):
    "A hundred new sounds, ten in a row, in the order in which they are drawn."
    model, prior = load(run)
    draws = generate(model, prior, 100, seed=0)
    picture([(f"{10 * row + 1}", draws[10 * row :][:10]) for row in range(10)], rate, "real_draws")


def octave_levels(x, y, rate):
    "By how many dB reconstructions are too loud in each octave, against all of their energy: medians over sounds."
    hertz, edges = torch.fft.rfftfreq(x.shape[1], 1 / rate), 2 ** torch.arange(4.5, 14, 1.0)

    def levels(sounds):
        power = torch.fft.rfft(sounds).abs().square()
        parts = [power[:, (hertz >= low) & (hertz < 2 * low)].sum(1) / power.sum(1) for low in edges]
        return 10 * (torch.stack(parts, 1) + 1e-8).log10()

    apart = (levels(y) - levels(x)).median(0).values
    return {
        f"{low:.0f} to {2 * low:.0f} Hz, dB too loud": value
        for low, value in zip(edges.tolist(), apart.tolist(), strict=True)
    }


@torch.no_grad()
def pitch_control(model, store, x, pitch, semitones=3):
    "What the slider of the pitch moves: how many of the notes follow it, and the oscillator's share of the energy of kicks."
    known = pitch.isfinite()
    z, off = encode_vectors(model, x[known]), []
    for step in (-semitones, semitones):
        moved = z.clone()
        moved[:, 0] += step / 24
        sounds = torch.cat([decode_vectors(model, part) for part in moved.split(32)])
        off.append(tracked_pitch_error(pitch[known] * 2 ** (step / 12), sounds, store.rate))
    kicks = encode_vectors(model, store.with_table(store.table[store.table.label == "kick"]).sounds())
    waves, tones = decode_parts(model, kicks[kicks[:, 1] > 0.9])[:2]
    share = tones.square().sum(1) / (waves.square().sum(1) + 1e-9)
    return {
        "asked for 3 semitones more or less, within a semitone": (torch.cat(off) < 1).double().mean().item(),
        "kicks with a pitch": len(share),
        "share of the oscillator in kicks": share.median().item(),
    }


def main(folder):
    "Look at both models of a run: before the second phase, and after."
    use_style()
    torch.set_num_threads(1)
    run = open_run(folder)
    store, entry = prepare_store(run), run.manifest()["train"]
    x, rows = held_out(store).sample(256).sounds(), {}
    pitch = certain_pitch(x, store.rate)
    models = {"before": run / "before"} if (run / "before").exists() else {}
    for name, path in (models | {"in the end": run / "vae"}).items():
        model = SampleVAE.from_pretrained(path)
        y = reconstruct(model, x, 16)
        moved = tracked_pitch_error(pitch, y, store.rate)
        course, apart = fall_agreement(x, y, store.rate)
        rows[name] = (
            training_summary(model, store)
            | {"energy distance": reconstruction_energy_distance(model, x)}
            | decoder_artifacts(model, 96)
        )
        rows[name] |= {
            "nearest to its own original": recognised(x, y, store.rate).double().mean().item(),
            "with a pitch": moved.isfinite().sum().item(),
            "of these, within a semitone": (moved < 1).sum().item(),
            "with a pitch that falls": course.isfinite().sum().item(),
            "correlation of the fall": course.nanmedian().item(),
            "octaves apart in the fall": apart.nanmedian().item(),
        }
        rows[name] |= pitch_control(model, store, x, pitch)
        everything = held_out(store).sounds()
        rows[name] |= octave_levels(everything, reconstruct(model, everything), store.rate)
        print(name, rows[name])
    rows["the drums themselves"] = measure_artifacts(store.split("train").sample(96).sounds(), run.config.hop_length)
    order, ten = (
        best_and_worst_reconstructions(x, y, store.rate, len(x)),
        best_and_worst_reconstructions(x, y, store.rate),
    )
    middle = order[:: max(1, len(order) // 10)][:10]
    plot_kinds(model, held_out(store)), plot_draws(run.path, store.rate)
    label = held_out(store).table.label.to_numpy()
    drums = [i for i in range(len(x)) if moved[i].isfinite() and label[i] in DRUMS]
    pitched = drums[:: max(1, len(drums) // 12)][:12]
    for name, chosen in {"real_extremes": ten, "real_middle": middle, "real_pitched": pitched}.items():
        plot_pairs(x[chosen], y[chosen], store.rate).savefig(CLONE / f"nbs/images/{name}.png", dpi=64)
    plot_curves(TrainingLog(run / "train.jsonl").rows).savefig(CLONE / "nbs/images/real_curves.png", dpi=64)
    about = {
        "date": time.strftime("%Y-%m-%d"),
        "settings": describe_settings(run.config),
        "minutes": entry["seconds"] / 60,
        "hardware": entry["hardware"],
    }
    write_json(CLONE / "benchmarks/results/real.json", about | {"sounds": len(store.split("train")), "rows": rows})


if __name__ == "__main__":
    main(sys.argv[1])
