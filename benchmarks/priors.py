"""How long the priors take: to be fitted, to draw a thousand vectors, and to give a thousand densities.

`python benchmarks/priors.py` makes posteriors up (eight curved clouds, as many as there are training sounds), fits every prior to
them on one core, and counts the seconds that the core works; what else the machine does is left out.
The table goes to benchmarks/results/priors.json.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch

from samplevae.files import CLONE, write_json
from samplevae.prior import PRIORS, PriorConfig
from samplevae.runs import hardware
from samplevae.vectors import EncodedSounds


def made_up(count: int, dimensions: int) -> EncodedSounds:
    "Posteriors around eight curved clouds, and pitches that follow the clouds."
    torch.manual_seed(0)
    cloud, place = torch.randint(8, (count,)), torch.randn(count, 6)
    bends = torch.randn(8, 6, dimensions)
    means = torch.randn(8, dimensions)[cloud] + torch.einsum("nk,nkd->nd", place, bends[cloud]).tanh()
    pitch = torch.stack([0.2 * cloud + 0.3 * place[:, 0], (cloud % 2).float()], 1)
    return EncodedSounds.from_moments(means, 0.1 + 0.3 * torch.rand(count, dimensions), pitch)


def core_seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    "The seconds that this process works on a call, and what it gives."
    begun = time.process_time()
    result = call()
    return time.process_time() - begun, result


def measure(kind: str, train: EncodedSounds, held: torch.Tensor) -> dict[str, float]:
    "The seconds of one core that a prior takes."
    fitting, prior = core_seconds(lambda: PRIORS[kind].fit(train, PriorConfig()))
    with torch.no_grad():
        drawing, _ = core_seconds(lambda: prior.sample((1000,), seed=0))
        density, _ = core_seconds(lambda: prior.log_prob(held))
    return {"fit, s": fitting, "1000 draws, s": drawing, "1000 densities, s": density}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sounds", type=int, default=4000)
    options.add_argument("--dimensions", type=int, nargs="+", default=[16, 64])
    options = options.parse_args()
    torch.set_num_threads(1)
    rows = []
    for dimensions in options.dimensions:
        train, held = made_up(options.sounds, dimensions), made_up(1000, dimensions).draw()
        for kind in PRIORS:
            rows.append({"dimensions": dimensions, "prior": kind} | measure(kind, train, held))
            print({name: value if isinstance(value, str) else round(value, 2) for name, value in rows[-1].items()})
    write_json(
        CLONE / "benchmarks/results/priors.json", {"sounds": options.sounds, "hardware": hardware(), "rows": rows}
    )


if __name__ == "__main__":
    main()
