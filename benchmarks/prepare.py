"""How long a store takes, beside merely decoding the same files, and what a shuffled split of them would leak.

`python benchmarks/prepare.py FOLDER`. Both use as many processes as there are cores, and the files are read once before, so that neither waits for the disk.
"""

import argparse
import os
import tempfile
import time
from dataclasses import replace
from multiprocessing import Pool, get_context
from pathlib import Path
from unittest.mock import patch

import numpy as np
import soundfile

import samplevae.parallel
from samplevae.duplicates import band_features, find_near_duplicates, log_band_edges, split_by_group
from samplevae.parallel import chunks, map_in_threads
from samplevae.sources import folder_source, synthesis_source
from samplevae.store import Store


def decode(path):
    "Decode a file and forget it."
    return len(soundfile.read(path, dtype="float32")[0])


def seconds(work):
    "How long a call takes."
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def megabytes():
    "The largest memory that this process has had (Linux; getrusage would count the parent's)."
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def print_leaks(store):
    "The share of test sounds with a near duplicate in training, when sounds are shuffled and when groups stay whole."
    features = np.concatenate([band_features(store.clips[part], log_band_edges) for part in chunks(len(store.clips))])
    rows = store.table.index.to_numpy()
    is_test = (split_by_group(store.table.label, store.table.group) == "test").to_numpy()
    shuffles = [np.random.default_rng(seed).permutation(is_test) for seed in range(5)]
    for name, splits in ("shuffled", shuffles), ("by group", [is_test]):
        leaks = [len(find_near_duplicates(store.clips, features, rows[~test], rows[test])) for test in splits]
        print(f"{name}: {np.mean(leaks) / is_test.sum():.0%} of the test sounds have a near duplicate in training")


def memory():
    "How much more than the imports a store of many clips takes."
    before = megabytes()
    Store.prepare(synthesis_source(100_000), Path(tempfile.mkdtemp()) / "store", 8_000, 0.25)
    return megabytes() - before


def main(path, repeats, with_memory):
    "Print the ratio, what leaks, and the memory that many clips take."
    out, source, rows = Path(tempfile.mkdtemp()) / "store", folder_source(path), []
    files = [Path(path) / name for name in source.table.file]
    for number in range(repeats + 1):
        with Pool(os.cpu_count()) as pool:
            plain = seconds(lambda: pool.map(decode, files, chunksize=32))
        ours = seconds(lambda: Store.prepare(source, out, 44_100, 1.0))
        with patch.object(samplevae.parallel, "map_in_forks", map_in_threads):
            threads = seconds(lambda: Store.prepare(source, out, 44_100, 1.0))
        rows += [[ours / plain, threads / plain]] * (number > 0)  # the first reads from the disk
        print(f"{len(files)} files: decoded in {plain:.2f} s, prepared in {ours:.2f} s ({threads:.2f} s with threads)")
    ratio, with_threads = np.median(rows, axis=0)
    print(f"median ratio {ratio:.2f} with {os.cpu_count()} processes ({with_threads:.2f} with threads)")
    one_group = replace(source, table=source.table.assign(group="one"))  # none is dropped as a near duplicate side
    store = Store.prepare(one_group, out, 44_100, 1.0)
    store.table["group"] = source.table.group[store.table.row].to_numpy()
    print_leaks(store)
    if not with_memory:
        return
    with get_context("spawn").Pool(1) as pool:
        print(f"100 000 clips: {pool.apply(memory):.0f} MB more than the imports")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="of sounds with a clips.csv")
    parser.add_argument("--repeats", type=int, default=9, help="in turn; the median counts")
    parser.add_argument("--memory", action="store_true", help="also that of 100 000 clips; takes minutes")
    given = parser.parse_args()
    main(given.folder, given.repeats, given.memory)
