"""Train the classifier that ships with the package, and that scores runs on synthesised sounds: `python benchmarks/drumnet.py`.

It learns from sounds of a seed that no preset uses, so that no model and no evaluation shares a training sound with it, and
every run on synthesised sounds is scored by the same file. It takes a quarter of an hour on one core.
"""

import tempfile
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from samplevae.embeddings import SHIPPED_DRUMNET, drumnet, make_drumnet
from samplevae.factors import KINDS
from samplevae.sources import synthesis_source
from samplevae.store import Store

SEED, COUNT, STEPS = 20_261, 8192, 1200


def main():
    "Write samplevae/drumnet.safetensors, in 16 bits, and say how well it names what it has not seen."
    with tempfile.TemporaryDirectory() as folder:
        store = Store.prepare(synthesis_source(COUNT, SEED, tuple(KINDS)), f"{folder}/store", 44_100, 1.0)
        path = Path(folder) / "drumnet.safetensors"
        make_drumnet(store, path, STEPS)
        with safe_open(path, "pt") as file:
            about = file.metadata()
        halved = {name: x.half() if x.is_floating_point() else x for name, x in load_file(path).items()}
        save_file(halved, SHIPPED_DRUMNET, about)
    print(drumnet(SHIPPED_DRUMNET).about, f"{SHIPPED_DRUMNET.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
