"""Whether the pitch that the decoder is given is the one that is heard: `python benchmarks/pitch.py FOLDER`.

Forty notes of each kind of instrument in FOLDER (whose clips.csv names the kinds) are tracked by SwiftF0, which the model has
never met. How often is it right within half a semitone to take the strongest peak of the spectrum, and how often to take the
pitch whose multiples hold the sound together? The table goes to benchmarks/results/pitch.json.
"""

import sys
import time

import torch
from start import recorded_store
from tqdm import tqdm

from samplevae.files import CLONE, write_json
from samplevae.harmonics import dominant_pitch, fundamental_pitch
from samplevae.pitch import voiced_pitch

NOTES = "bass", "brass", "guitar", "keys", "mallet", "piano", "plucked", "strings", "synth", "voice", "wind"


def main(folder):
    "Track, compare, and write the table."
    torch.set_num_threads(1)
    store = recorded_store(folder, 44_100, 1.5)
    rows = {}
    for kind in tqdm(NOTES):
        table = store.table[store.table.label == kind]
        x = store.with_table(table.sample(min(40, len(table)), random_state=0)).sounds()
        heard = torch.tensor([voiced_pitch(wave, store.rate) for wave in x.numpy()])
        ways = {"strongest peak": dominant_pitch, "fundamental": fundamental_pitch}
        right = {name: (way(x, store.rate)[0] / heard).log2().abs() < 1 / 24 for name, way in ways.items()}
        rows[kind] = {"tracked": int((~heard.isnan()).sum())} | {
            name: int(found.sum()) for name, found in right.items()
        }
    total = {name: sum(row[name] for row in rows.values()) for name in rows["bass"]}
    rows["all"] = total
    write_json(CLONE / "benchmarks/results/pitch.json", {"date": time.strftime("%Y-%m-%d"), "rows": rows})
    for name, row in rows.items():
        print(name, row)


if __name__ == "__main__":
    main(sys.argv[1])
