"""How much sound a training step takes in a second, in both phases, beside RAVE 2 at its default capacity and with its own losses.

`python benchmarks/train.py` builds RAVE 2 from our own parts; `--source FOLDER` takes encoder, decoder and discriminators from
a clone of https://github.com/acids-ircam/RAVE (see decode.py for what that needs). Steps are timed in turns, so that what else
the machine does bears on both. `--device cuda` times our own phases on a GPU, in both precisions, eager and compiled, and says
where the time goes. The table goes to benchmarks/results/train.json, which the chapter of results shows.
"""

import argparse
import time

import torch
from decode import RAVE, published
from torch import nn
from torch.nn import functional as F
from torch.optim import Adam

from samplevae.config import Config
from samplevae.discriminators import reshape_by_period
from samplevae.files import CLONE, write_json
from samplevae.layers import weight_normed
from samplevae.phases import AdversarialPhase, RepresentationPhase, make_fabric
from samplevae.runs import hardware
from samplevae.vae import SampleVAE

WINDOWS = (2048, 1024, 512, 256, 128)  # of RAVE's spectral distance
EVERY = 4  # batches of which one is for RAVE 2's discriminators, and the others for its decoder


class Net(nn.Module):
    "One of RAVE 2's discriminators: four convolutions in steps of four, each followed by an activation, and a score."

    def __init__(self, front_end, kind, kernel, padding, stride, capacity=96):
        super().__init__()
        widths = [1, capacity, 2 * capacity, 4 * capacity, 8 * capacity]
        pairs = zip(widths, widths[1:], strict=False)
        self.front_end, layers = front_end, [weight_normed(kind(a, b, kernel, stride, padding)) for a, b in pairs]
        self.layers = nn.ModuleList([*layers, kind(widths[-1], 1, 1)])

    def forward(self, x):
        h, features = self.front_end(x), []
        for number, layer in enumerate(self.layers):
            h = layer(F.leaky_relu(h, 0.2) if number else h)
            features.append(h)
        return features


class Discriminators(nn.Module):
    "All of RAVE 2's: five periods, three scales."

    def __init__(self):
        super().__init__()
        periods = [
            Net(lambda x, p=p: reshape_by_period(x, p), nn.Conv2d, (5, 1), (2, 0), (4, 1)) for p in (2, 3, 5, 7, 11)
        ]
        scales = [Net(lambda x, f=f: F.avg_pool1d(x, f), nn.Conv1d, 15, 7, 4) for f in (1, 2, 4)]
        self.nets = nn.ModuleList(periods + scales)

    def forward(self, x):
        return [net(x) for net in self.nets]


class Ours:
    "RAVE 2's networks from our own parts."

    def __init__(self):
        model = SampleVAE(Config.preset("gpu", seconds=1.0, **RAVE))
        self.length, self.bank, self.encoder = 45_056, model.decoder.head.bank, model.encoder.frontend.layers
        self.posterior, self.project, self.decoder = model.encoder.project, model.decoder.project, model.decoder.head
        self.discriminators, self.parts = Discriminators(), [model.encoder, model.decoder]

    def encode(self, bands):
        mean, spread, _ = self.posterior(self.encoder(bands)).split((128, 128, 0), 1)
        return mean, spread

    def decode(self, z):
        return self.decoder.output(self.decoder.layers(self.project(z)))

    def analysis(self, x):
        return self.bank.analysis(x)

    def synthesis(self, bands):
        return self.bank.synthesis(bands)


class Theirs:
    "RAVE 2's networks from its own source."

    def __init__(self, source):
        nets = published(source).train()
        from cached_conv import get_padding  # noqa: F401, wanted by rave.discriminator
        from rave import discriminator as theirs

        def net(kind, kernel):
            return lambda in_size=1, **_: theirs.ConvNet(in_size, 1, 96, 4, kernel, 4, kind)

        groups = [theirs.MultiPeriodDiscriminator([2, 3, 5, 7, 11], net(nn.Conv2d, (5, 1)))]
        groups.append(theirs.MultiScaleDiscriminator(3, net(nn.Conv1d, 15)))
        self.groups, self.length = nn.ModuleList(groups), 45_056
        self.analysis, self.synthesis, self.decode = nets["bank"], nets["bank"].inverse, nets["decoder"]
        self.encoder, self.parts = nets["encoder"], [nets["encoder"], nets["decoder"]]
        self.discriminators = lambda x: [found for group in self.groups for found in group(x)]
        self.discriminators.parameters = self.groups.parameters

    def encode(self, bands):
        return self.encoder(bands).chunk(2, 1)


def spectral(x, y):
    "RAVE's spectral distance of (n, T) to (n, T)."
    total = 0.0
    for size in WINDOWS:
        a, b = torch_magnitudes(x, size), torch_magnitudes(y, size)
        total = total + (a - b).square().mean() / a.square().mean() + ((a + 1e-7).log() - (b + 1e-7).log()).abs().mean()
    return total


def torch_magnitudes(x, size):
    "As torch makes them."
    window = torch.hann_window(size)
    return torch.stft(x, size, size // 4, window=window, return_complex=True).abs()


class Rave:
    "The two phases of RAVE 2's training, step by step as its source has them."

    def __init__(self, nets):
        self.nets = nets
        self.makers = [weight for part in nets.parts for weight in part.parameters()]
        self.discriminator_weights = [*nets.discriminators.parameters()]
        self.generator_optimizer, self.discriminator_optimizer = (
            Adam(self.makers, 1e-3, (0.5, 0.9)),
            Adam(self.discriminator_weights, 1e-4, (0.5, 0.9)),
        )

    def made(self, x, frozen):
        bands = self.nets.analysis(x)
        mean, spread = self.nets.encode(bands)
        mean, spread = (mean.detach(), spread.detach()) if frozen else (mean, spread)
        deviation = F.softplus(spread) + 1e-4
        z = mean + deviation * torch.randn_like(mean)
        out = self.nets.decode(z)
        y = self.nets.synthesis(out)[..., : x.shape[2]]
        far = spectral(bands.flatten(0, 1), out[..., : bands.shape[2]].flatten(0, 1)) + spectral(x[:, 0], y[:, 0])
        paid = (mean.square() + deviation.square() - 2 * deviation.log() - 1).sum(1).mean()
        return y, far + 0.05 * paid

    def first(self, x):
        "A step of the first phase."
        _, loss = self.made(x, frozen=False)
        self.generator_optimizer.zero_grad()
        loss.backward()
        self.generator_optimizer.step()

    def second(self, x, for_discriminators):
        "A step of the second phase: for the discriminators, or for the decoder."
        y, loss = self.made(x, frozen=True)
        pairs = [[h.chunk(2) for h in features] for features in self.nets.discriminators(torch.cat([x, y]))]
        hinge = sum((F.relu(1 - f[-1][0]) + F.relu(1 + f[-1][1])).mean() for f in pairs)
        unlike = [(real - made).abs().mean() / real.abs().mean() for f in pairs for real, made in f[1:]]
        adversarial = sum(-f[-1][1].mean() for f in pairs)
        optimizer = self.discriminator_optimizer if for_discriminators else self.generator_optimizer
        optimizer.zero_grad()
        (hinge if for_discriminators else loss + 20 * sum(unlike) / len(unlike) + adversarial).backward()
        optimizer.step()


def sounds(count, length, device="cpu"):
    "Noise that dies away."
    torch.manual_seed(0)
    return 0.3 * torch.randn(count, 1, length, device=device) * torch.exp(-torch.arange(length, device=device) / 8000)


def ours(kind, **changes):
    "A phase of our own training, ready for a step."
    torch.manual_seed(0)
    config = Config.preset("gpu", seconds=1.0, **changes)
    return kind(SampleVAE(config), config, 1000, make_fabric(config))


def turns(works, repeats):
    "The median seconds of each of some calls, made in turns, after one that does not count."
    times = [[] for _ in works]
    for number in range(repeats + 1):
        for work, row in zip(works, times, strict=True):
            begin = time.perf_counter()
            work()
            row.extend([time.perf_counter() - begin] * (number > 0))
    return [sorted(row)[len(row) // 2] for row in times]


def beside_rave(options):
    "The table for a processor."
    nets = Theirs(options.source) if options.source else Ours()
    rave, x, own = Rave(nets), sounds(options.batch, nets.length), sounds(options.batch, 44_100)
    size = sum(weight.numel() for weight in rave.discriminator_weights) / 1e6
    print(f"RAVE 2: {sum(w.numel() for w in rave.makers) / 1e6:.1f} M weights, its discriminators {size:.1f} M")
    form = dict(batch_size=options.batch, device="cpu", precision="32")
    first, second = ours(RepresentationPhase, **form), ours(AdversarialPhase, **form)
    calls = [lambda: rave.first(x), lambda: first.step(own, 500)]
    calls += [lambda: rave.second(x, False), lambda: rave.second(x, True), lambda: second.step(own, 500)]
    theirs, mine, decoder, discriminators, both = turns(calls, options.repeats)
    mixed = ((EVERY - 1) * decoder + discriminators) / EVERY
    rows = [
        {"phase": "representation", "RAVE, s": theirs, "ours, s": mine},
        {"phase": "adversarial, decoder or discriminators", "RAVE, s": mixed, "ours, s": both},
        {"phase": "adversarial, decoder and discriminators", "RAVE, s": decoder + discriminators, "ours, s": both},
    ]
    for row in rows:
        row |= {"times": row["RAVE, s"] / row["ours, s"], "audio s / s": options.batch / row["ours, s"]}
        print(
            "  ".join(f"{key} {value:.2f}" if isinstance(value, float) else f"{value:32}" for key, value in row.items())
        )
    return rows


def on_gpu(options):
    "The table for a GPU, and where the time goes."
    rows = []
    for kind in RepresentationPhase, AdversarialPhase:
        for precision in "32", "bf16":
            for compiled in False, True:
                torch.compiler.reset()
                torch.cuda.reset_peak_memory_stats()
                form = dict(batch_size=options.batch, device="cuda", precision=precision, compile=compiled)
                phase, x = ours(kind, **form), sounds(options.batch, 44_100, "cuda")
                for step in range(5):
                    phase.step(x, 500 + step)
                torch.cuda.synchronize()
                begin = time.perf_counter()
                for step in range(30):
                    phase.step(x, 500 + step)
                torch.cuda.synchronize()
                used = (time.perf_counter() - begin) / 30
                row = {"phase": kind.__name__.lower(), "precision": precision, "compiled": compiled, "ms": 1e3 * used}
                row |= {"audio s / s": options.batch / used, "GiB": torch.cuda.max_memory_allocated() / 2**30}
                print(row)
                rows.append(row)
        with torch.profiler.profile() as profile:
            phase.step(x, 500)
            torch.cuda.synchronize()
        print(profile.key_averages().table(sort_by="self_cuda_time_total", row_limit=15, max_name_column_width=50))
    return rows


def main():
    "Print the table, and keep it."
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--source", help="a clone of RAVE's source")
    options.add_argument("--device", default="cpu")
    options.add_argument("--batch", type=int, default=8)
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--threads", type=int, default=2)
    options = options.parse_args()
    torch.set_num_threads(options.threads)
    rows = beside_rave(options) if options.device == "cpu" else on_gpu(options)
    about = {"peer": f"RAVE 2 from {'its source' if options.source else 'our own parts'}", "batch": options.batch}
    name = "train" if options.device == "cpu" else "train-gpu"
    write_json(
        CLONE / f"benchmarks/results/{name}.json",
        about | {"date": time.strftime("%Y-%m-%d"), "threads": options.threads, "hardware": hardware(), "rows": rows},
    )


if __name__ == "__main__":
    main()
