"""How long the measures take, and their memory; the Fréchet distance beside code with a matrix square root.

`python benchmarks/metrics.py` measures 10,000 points of 512 numbers against as many, each value with its interval of twenty
halves, and then the Fréchet distance of 2048 numbers beside `scipy.linalg.sqrtm`, in turns. The table goes to benchmarks/results/metrics.json.
"""

import argparse
import resource
import time

import numpy as np
from scipy.linalg import sqrtm

from samplevae.files import CLONE, write_json
from samplevae.metrics import frechet, frechet_infinity, kad, kid, prdc, vendi
from samplevae.runs import hardware


def peak():
    "The most memory that this process has held, in GB."
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def with_sqrtm(real, fake):
    "The Fréchet distance as it is usually written."
    (a, c), (b, d) = ((x.mean(0), np.cov(x, rowvar=False)) for x in (real, fake))
    return ((a - b) ** 2).sum() + np.trace(c + d - 2 * np.real(sqrtm(c @ d)))


def main():
    "Measure, print, and write benchmarks/results/metrics.json."
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--points", type=int, default=10_000)
    options.add_argument("--size", type=int, default=512)
    options.add_argument("--repeats", type=int, default=3, help="of the comparison with sqrtm")
    given = options.parse_args()
    generator = np.random.default_rng(0)
    mix = generator.normal(size=(given.size, given.size)) / given.size**0.5
    real, fake = generator.normal(size=(2, given.points, given.size)) @ mix
    rows, before = [], peak()
    for measure in frechet, frechet_infinity, kid, kad, prdc, vendi:
        begun = time.time()
        measure(*((fake,) if measure is vendi else (real, 1.1 * fake)), repeats=20)
        rows.append({"measure": measure.__name__, "seconds": time.time() - begun, "GB at most": peak()})
        print(rows[-1], flush=True)
    print(
        f"all: {sum(row['seconds'] for row in rows):.0f} s, {peak():.2f} GB at most ({before:.2f} before)", flush=True
    )
    real, fake = generator.normal(size=(2, 4000, 2048))
    times = {"frechet": [], "sqrtm": []}
    for _ in range(given.repeats):
        for name, measure in ("frechet", frechet), ("sqrtm", with_sqrtm):
            begun = time.time()
            value = measure(real, fake)
            times[name].append(time.time() - begun)
            print(name, f"{value:.6f}", f"{times[name][-1]:.1f} s", flush=True)
    ratio = np.median(np.array(times["sqrtm"]) / times["frechet"])
    print(f"sqrtm takes {ratio:.1f} times as long")
    write_json(
        CLONE / "benchmarks/results/metrics.json",
        {"rows": rows, "times": times, "ratio": ratio, "hardware": hardware()},
    )


if __name__ == "__main__":
    main()
