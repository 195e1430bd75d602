"""How long it takes to decode and to encode a second of sound at 44.1 kHz, compared with RAVE 2 at its default capacity.

`python benchmarks/decode.py` builds RAVE 2 from our own parts (the same layers and sizes: 15.5 M parameters in the decoder).
`python benchmarks/decode.py --source FOLDER` builds it from a clone of https://github.com/acids-ircam/RAVE instead, which
needs `pip install cached_conv gin-config einops GPUtil lmdb`. Every row is timed in turns with RAVE, so that other work on the
machine slows both alike. The table goes to benchmarks/results/decode.json, which the chapter of results shows.
"""

import argparse
import sys
import time
import types
from pathlib import Path

import torch
from torch import nn

from samplevae.config import Config
from samplevae.files import CLONE, write_json
from samplevae.layers import remove_weight_norm
from samplevae.runs import hardware
from samplevae.vae import SampleVAE

RAVE = dict(latent_shape="sequence", frontend="bands", head="rave", upsampling="transposed", noise_bands=0, latent=128)
MODELS = {
    "base, default": dict(),
    "base, sequence": dict(latent_shape="sequence"),
    "base, head rave": dict(frontend="bands", head="rave"),
    "base, head melgan": dict(frontend="wave", head="melgan"),
}


def untrained(**changes):
    "Changed settings -> a model of preset gpu (size base), ready for use."
    torch.manual_seed(0)
    return remove_weight_norm(SampleVAE(Config.preset("gpu", seconds=1.0, **changes)).eval())


def published(folder):
    "A clone of RAVE's source -> its filterbank, decoder and encoder at their default sizes."
    import numpy as np
    import scipy.signal
    from scipy.signal import firwin, kaiserord

    training = types.SimpleNamespace(ModelCheckpoint=object)
    lightning = types.SimpleNamespace(Callback=object, callbacks=training)
    sys.modules.setdefault("pytorch_lightning", lightning)  # imported there, but needed for training alone
    scipy.signal.kaiser = scipy.signal.windows.kaiser  # where it was when RAVE was written
    package = types.ModuleType("rave")  # without its __init__, which imports all of its training
    package.__path__ = [str(Path(folder) / "rave")]
    sys.modules["rave"] = package
    from rave import blocks, pqmf

    pqmf.kaiserord = lambda level, width: kaiserord(level, np.asarray(width).item())  # scipy has become stricter
    pqmf.firwin = lambda n, cut, nyq, **options: firwin(n, np.asarray(cut).item(), fs=2 * nyq, **options)
    form = dict(capacity=96, ratios=[4, 4, 4, 2], latent_size=128, kernel_size=3, data_size=16)
    form |= dict(dilations=[[1, 3, 9]] * 3 + [[1, 3]])
    bank = pqmf.CachedPQMF(attenuation=100, n_band=16)
    decoder, encoder = blocks.GeneratorV2(**form, amplitude_modulation=True), blocks.EncoderV2(**form, n_out=2)
    return nn.ModuleDict({"bank": bank, "decoder": decoder, "encoder": encoder}).eval()


class Peer:
    "RAVE 2, from our parts or from its source, with the two calls that are timed."

    def __init__(self, source):
        self.name = f"RAVE 2 from {source}" if source else "RAVE 2 from our own parts"
        theirs, ours = (published(source), None) if source else (None, untrained(**RAVE))
        self.decoder = theirs["decoder"] if theirs else ours.decoder
        self.decode = (lambda z: theirs["bank"].inverse(theirs["decoder"](z))) if theirs else ours.decode
        self.encode = (lambda x: theirs["encoder"](theirs["bank"](x))) if theirs else ours.encode
        self.shape, self.length = (128, 22), 45_056 if source else ours.length


def time_in_turns(calls, repeats):
    "Calls -> the median milliseconds of each, made in turns, after three that do not count."
    times = [[] for _ in calls]
    for number in range(repeats + 3):
        for call, row in zip(calls, times, strict=True):
            begin = time.perf_counter()
            call()
            row.extend([time.perf_counter() - begin] * (number >= 3))
    return [1e3 * sorted(row)[len(row) // 2] for row in times]


@torch.inference_mode()
def compare(peer, threads, batch, repeats, compiled):
    "RAVE and a form of timing -> a row for each model, printed too."
    torch.set_num_threads(threads)
    torch.compiler.reset()  # it compiles a call only so many times
    wrap = torch.compile if compiled else lambda call: call
    x, z = torch.randn(batch, 1, peer.length), torch.randn(batch, *peer.shape)
    print(f"\n{threads} thread(s), batch {batch}, {'compiled' if compiled else 'eager'}")
    rows = []
    for name, changes in MODELS.items():
        ours = untrained(**changes)
        sound, vector = torch.randn(batch, 1, ours.length), torch.randn(batch, *ours.shape)
        row = {"model": name, "threads": threads, "batch": batch, "compiled": compiled}
        for what, calls in zip(
            ("decodes", "encodes"),
            (
                [(wrap(peer.decode), z), (wrap(ours.decode), vector)],
                [(wrap(peer.encode), x), (wrap(lambda x, ours=ours: ours.encode(x).point()), sound)],
            ),
            strict=True,
        ):
            theirs, mine = time_in_turns([lambda c=call, i=item: c(i) for call, item in calls], repeats)
            row |= {f"{what}, ms": mine, f"RAVE {what}, ms": theirs, f"{what}, times as fast": theirs / mine}
            print(f"  {name:18} {what} in {mine:7.2f} ms, RAVE in {theirs:7.2f} ms: {theirs / mine:5.1f} times as fast")
        rows.append(row)
    return rows


def main():
    "Print the tables, and write benchmarks/results/decode.json."
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--source", help="a clone of RAVE's source")
    options.add_argument("--compile", action="store_true", help="also with torch.compile, which takes minutes")
    options.add_argument("--repeats", type=int, default=21, help="in turns; a fourth of them for a batch of 16")
    options = options.parse_args()
    peer = Peer(options.source)
    print(f"{peer.name}: {sum(p.numel() for p in peer.decoder.parameters()) / 1e6:.1f} M parameters in the decoder")
    rows = []
    for compiled in (False, True) if options.compile else (False,):
        for threads in 1, 2:
            for batch in 1, 16:
                repeats = options.repeats if batch == 1 else max(1, options.repeats // 4)
                rows += compare(peer, threads, batch, repeats, compiled)
    about = {"date": time.strftime("%Y-%m-%d"), "peer": peer.name, "hardware": hardware()}
    write_json(CLONE / "benchmarks/results/decode.json", about | {"rows": rows})


if __name__ == "__main__":
    main()
