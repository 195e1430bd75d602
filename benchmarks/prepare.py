"""How long a store takes, beside merely decoding the same files: `python benchmarks/prepare.py FOLDER`.

Both use as many workers as there are cores, and the files are read once before, so that neither waits for the disk.
"""

import os
import resource
import sys
import tempfile
import time
from multiprocessing import Pool
from pathlib import Path

import soundfile

from samplevae.dataset import folder, prepare, synthesis


def decode(path):
    "Decode a file and forget it."
    return len(soundfile.read(path, dtype="float32")[0])


def seconds(work):
    "How long a call takes."
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def megabytes():
    "The largest memory that this process has had."
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(path, repeats=3):
    "Print the memory that many clips take, and the ratio."
    out, before = Path(tempfile.mkdtemp()) / "store", megabytes()
    prepare(synthesis(100_000), out, 8_000, 0.25)
    print(f"100 000 clips: {megabytes() - before:.0f} MB more than the imports")
    source = folder(path)
    files = [Path(path) / name for name in source.table.file]
    prepare(source, out, 44_100, 1.0)
    ratios = []
    for _ in range(repeats):
        with Pool(os.cpu_count()) as pool:
            plain = seconds(lambda: pool.map(decode, files, chunksize=32))
        ours = seconds(lambda: prepare(source, out, 44_100, 1.0))
        ratios.append(ours / plain)
        print(f"{len(files)} files: decoded in {plain:.2f} s, prepared in {ours:.2f} s, ratio {ours / plain:.2f}")
    print(f"median ratio {sorted(ratios)[repeats // 2]:.2f} with {os.cpu_count()} workers")


if __name__ == "__main__":
    main(sys.argv[1])
