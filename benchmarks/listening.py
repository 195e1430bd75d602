"""Whether the intervals of a listening test hold what is true as often as they say, and how many listeners it needs.

`python benchmarks/listening.py` simulates tests whose truth is known, and analyses them as real ones are analysed. The table goes
to benchmarks/results/listening.json, which the chapter of ratings shows.
"""

import argparse
import time

import numpy as np
from tqdm import tqdm

from samplevae.files import CLONE, write_json
from samplevae.ratings import Variation, fit_mixed_model, opinion_rows, pair_rows, simulate_ratings
from samplevae.runs import hardware

KNOWN = {"a": 3.0, "b": 3.3, "c": 3.8}
TESTS = {
    "6 listeners, 10 items, all": (6, 10, 0),
    "12 listeners, 12 items, all": (12, 12, 0),
    "12 listeners, 40 items, 30 each": (12, 40, 30),
}


def naive_holds(ratings):
    "How many of the intervals that take all ratings for independent hold the truth."
    own = ratings.groupby("system").rating
    return np.mean((own.mean() - [*KNOWN.values()]).abs() < 1.645 * own.std() / own.size() ** 0.5)


def coverage(listeners, items, length, times):
    "How often intervals of 90% hold the truth."
    held = {"means": [], "means, bootstrap": [], "differences": [], "means, taken for independent": []}
    for seed in tqdm(range(times), desc=f"{listeners} listeners, {items} items"):
        ratings = simulate_ratings(KNOWN, listeners, items, length, seed)
        model = fit_mixed_model(ratings)
        for row in opinion_rows(ratings, model):
            held["means"].append(row["low"] < KNOWN[row["system"]] < row["high"])
            held["means, bootstrap"].append(row["bootstrap low"] < KNOWN[row["system"]] < row["bootstrap high"])
        for row in pair_rows(model):
            held["differences"].append(row["low"] < KNOWN[row["better"]] - KNOWN[row["worse"]] < row["high"])
        held["means, taken for independent"].append(naive_holds(ratings))
    return {name: float(np.mean(values)) for name, values in held.items()}


def power(listeners, items, length, difference, times):
    "How often a difference is found at p < 0.05, among four systems of which each listener rates some pairs."
    known, found = {"a": 3.0, "b": 3.0 + difference, "c": 4.0, "d": 2.0}, 0
    for seed in tqdm(range(times), desc=f"{listeners} listeners, {items} items"):
        rows = pair_rows(fit_mixed_model(simulate_ratings(known, listeners, items, length, seed)))
        found += next(
            row["p"] < 0.05 and row["better"] == "b" for row in rows if {row["better"], row["worse"]} == {"a", "b"}
        )
    return {"listeners": listeners, "items": items, "found": float(found / times)}


def main():
    "Simulate and analyse, and write the table."
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--times", type=int, default=300, help="tests of each size")
    options.add_argument("--difference", type=float, default=0.3)
    options.add_argument("--length", type=int, default=60, help="ratings of each listener")
    options = options.parse_args()
    rows = [{"test": name} | coverage(*size, options.times) for name, size in TESTS.items()]
    sizes = [(listeners, items) for items in (20, 40) for listeners in (6, 12, 24)]
    found = [power(*size, options.length, options.difference, max(20, options.times // 3)) for size in sizes]
    about = {
        "times": options.times,
        "length": options.length,
        "difference": options.difference,
        "variation": vars(Variation()),
    }
    about |= {"date": time.strftime("%Y-%m-%d"), "hardware": hardware()}
    write_json(CLONE / "benchmarks/results/listening.json", about | {"coverage": rows, "power": found})
    for row in rows + found:
        print({name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()})


if __name__ == "__main__":
    main()
