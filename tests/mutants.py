"""Which faults do the tests notice? `python tests/mutants.py` makes each change of the list below in a copy of the package, runs
the tests that concern it, and says which changes survive. `--generic 100` goes further: so many changes, drawn by `--seed`, of
the kinds that slip in unseen (a comparison turned round, a term left out, two arguments exchanged, an early return). For each
of these it runs the tests that call the changed function, the quickest first; which they are is found out before, in one run.
The result goes to benchmarks/results/mutants.json. The list takes four minutes on two cores, a hundred changes an hour; it is no
part of `make test`.
"""

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from samplevae.files import CLONE, write_json

WIRING, TRAINING, EVIDENCE, SOUNDS = (f"tests/test_{name}.py" for name in ("wiring", "training", "evidence", "sounds"))
LIST = {  # what is wrong: module, what stands there, what stands there instead
    "no posterior noise": ("vae", "z, sounding = posterior.rsample()", "z, sounding = posterior.point()"),
    "decoded without the pitch": ("vae", "self.decoder(z, pitch, draws, sounding", "self.decoder(z, 0 * pitch, draws, sounding"),
    "weight of the KL 0": ("phases", "return config.beta * warmup * kl +", "return 0 * config.beta * warmup * kl +"),
    "energy term with the wrong sign": (
        "phases",
        'terms["spectral_distance"] - config.energy_weight',
        'terms["spectral_distance"] + config.energy_weight',
    ),
    "second draw not detached": ("losses", "y[len(x) :, 0].detach()", "y[len(x) :, 0]"),
    "no warm-up of the KL": ("losses", "return min(1.0, step / max(1.0, share * steps))", "return 1.0"),
    "no warm-up of the rate": ("optimizer", "min(1.0, (step + 1) / min(warmup, 1 + steps // 10)) * (0.5", "(0.5"),
    "no cosine": ("optimizer", " * (0.5 + 0.5 * math.cos(math.pi * step / steps))", ""),
    "no clipping": ("phases", "clip_grad_norm_(learning, self.config.grad_clip)", "clip_grad_norm_(learning, 1e9)"),
    "mel weights dropped": ("phases", 'if config.frequency_weighting == "mel" else 0', "* 0"),
    "padding weights dropped": ("phases", "windows, config.tail_weight, mel_rate", "windows, 1.0, mel_rate"),
    "discriminators ignored": ("phases", "[1 - share, share / 2, share / 2]", "[1, 0, 0]"),
    "gate not learned": ("phases", 'config.gate_weight * terms["gate_loss"]', '0 * terms["gate_loss"]'),
    "fall of the pitch not learned": ("phases", 'config.fall_weight * terms["fall_loss"]', '0 * terms["fall_loss"]'),
    "measurements not learned in the second phase": ("phases", "measured_loss(terms, self.config) + penalty", "penalty"),
    "lines of the wrong partials": ("decoder", "range(self.harmonics + 1,", "range(self.harmonics,"),
    "its own gate in training": ("vae", "draws, sounding.sum(1))", "draws)"),
    "total correlation with the wrong sign": ("phases", "+ config.tc_weight * terms", "- config.tc_weight * terms"),
    "saved without the average": ("training", "model = training.average.eval()", "model = training.model.eval()"),
    "flow fitted to means": ("optimizer", "sounds.take(chosen).draw(), chosen", "sounds.take(chosen).points(), chosen"),
    "temperature ignored by the flow": ("mixtures", "self.latent_from_base(temperature * base", "self.latent_from_base(base"),
    "temperature ignored in generating": ("prior", "prior.sample((n,), temperature, seed", "prior.sample((n,), seed"),
    "one noise for all": ("prior", "decode_vectors(model, part, 1)", "decode_vectors(model, part)"),
    "reference from held-out sounds": ("floors", 'return store.split("train").sample(most)', 'return store.split("test").sample(most)'),
    "originals for reconstructions": ("evaluation", "reconstruct(model, held)", "held.clone()"),
    "drumnet trained on test sounds": ("embeddings", 'log_mel_of_store(store.split("train"))', 'log_mel_of_store(store.split("test"))'),
    "fingerprints of eight sounds": ("novelty", "most: int = 2000,", "most: int = 8,"),
    "held-out sounds from the front": ("store", "np.random.default_rng(seed).permutation(len(self))[:count]", "np.arange(len(self))[:count]"),
    "rows that are not aligned": ("embeddings", "self.points(align_sounds(batch, rate), rate)", "self.points(batch, rate)"),
    "novelty of vectors without their unit": ("novelty", "unit = stds.mean(0)", "unit = 1"),
    "floors of unequal size": ("floors", "for part in others.parts(size)", "for part in [others]"),
    "halves of sounds, not of groups": ("intervals", "if len(sizes) == len(groups):", "if True:"),
    "floor of one split": ("floors", "for seed in range(repeats)]\n    rows", "for seed in [0] * repeats]\n    rows"),
    "labels not matched": ("floors", "known.points[b], weights=weights", "known.points[b]"),
    "differences of unlike halves": ("intervals", "self.values[:halves] - other.values[:halves]", "self.values[:halves] - other.values[:halves][::-1]"),
    "split by file": ("store", "split_by_group(table.label, table.group)", "split_by_group(table.label, table.file)"),
}  # fmt: skip
CONCERN = {
    "losses": [WIRING, TRAINING, "tests/test_model.py"],
    "phases": [WIRING, TRAINING],
    "training": [WIRING, TRAINING],
    "prior": [WIRING, TRAINING, "tests/test_flows.py"],
    "mixtures": [WIRING, "tests/test_flows.py"],
    "flows": ["tests/test_flows.py"],
    "metrics": [EVIDENCE, WIRING],
    "floors": [WIRING, EVIDENCE],
    "evaluation": [WIRING, EVIDENCE],
    "dataset": [WIRING, SOUNDS],
    "duplicates": [WIRING, SOUNDS],
    "novelty": [WIRING, EVIDENCE],
}


class Changes(ast.NodeTransformer):
    "Counts the places that can be changed in a module, and changes one of them."

    def __init__(self, chosen: int = -1) -> None:
        self.chosen, self.count, self.done, self.line = chosen, 0, "", 0

    def is_chosen(self, what: str, node: ast.AST) -> bool:
        self.count += 1
        if self.count - 1 == self.chosen:
            self.line = node.lineno
            self.done = f"line {node.lineno}, {what}: {ast.unparse(node)[:90]}"
        return self.count - 1 == self.chosen

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        other = {
            ast.Lt: ast.GtE,
            ast.Gt: ast.LtE,
            ast.LtE: ast.Gt,
            ast.GtE: ast.Lt,
            ast.Eq: ast.NotEq,
            ast.NotEq: ast.Eq,
        }
        if type(node.ops[0]) in other and self.is_chosen("comparison turned round", node):
            node.ops[0] = other[type(node.ops[0])]()
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Add | ast.Sub | ast.Mult) and self.is_chosen("second operand left out", node):
            return node.left
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        plain = len(node.args) > 1 and not any(isinstance(argument, ast.Starred) for argument in node.args)
        if plain and self.is_chosen("first two arguments exchanged", node):
            node.args[0], node.args[1] = node.args[1], node.args[0]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.body = [self.visit(part) for part in node.body]
        if len(node.body) > 3 and self.is_chosen("returns early", node):
            node.body = [*node.body[: len(node.body) // 2], ast.Return(value=None)]
        return node


def generic_changes(seed: int, count: int) -> dict[str, tuple[str, str, int]]:
    "So many changes by name: module, its source with the change, and its line."
    places = []
    for module in CONCERN:
        counter = Changes()
        counter.visit(ast.parse((CLONE / f"samplevae/{module}.py").read_text()))
        places += [(module, number) for number in range(counter.count)]
    changes = {}
    for module, number in random.Random(seed).sample(places, count):
        change = Changes(number)
        tree = change.visit(ast.parse((CLONE / f"samplevae/{module}.py").read_text()))
        changes[f"{module}, {change.done}"] = module, ast.unparse(ast.fix_missing_locations(tree)), change.line
    return changes


def listed_changes() -> dict[str, tuple[str, str, int]]:
    "The changes of the list by name: module, its source with the change, and no line."
    changes = {}
    for name, (module, old, new) in LIST.items():
        source = (CLONE / f"samplevae/{module}.py").read_text()
        assert source.count(old) == 1, f"{name}: {module} has changed, and the list has to follow"
        changes[name] = module, source.replace(old, new), 0
    return changes


def enclosing_function(module: str, line: int) -> str:
    "The function around a line of a module, as `tests/reached.py` writes it; empty outside of functions."
    tree, found = ast.parse((CLONE / f"samplevae/{module}.py").read_text()), ""
    for node in ast.walk(tree):  # outer functions come before inner ones
        if isinstance(node, ast.FunctionDef) and node.lineno <= line <= node.end_lineno:
            found = f"{module}:{min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])}"
    return found


def tests_that_reach(function: str, files: list[str], reached: dict[str, Any]) -> list[str]:
    "The tests of some files that call a function, the quickest first; where none is known to, all."
    calling = {
        name: test["seconds"]
        for name, test in reached["tests"].items()
        if function in test["calls"] + reached["shared"].get(name.partition("::")[0], [])
    }
    chosen = [name for name in sorted(calling, key=calling.get) if name.partition("::")[0] in files]
    return chosen or files


def run_tests(module: str, source: str, tests: list[str], reached: Path | None = None) -> bool:
    "Whether tests pass where a module has this source; which functions they call goes to a file."
    with tempfile.TemporaryDirectory() as folder:
        for path in CLONE.iterdir():
            if path.name in ("samplevae", "tests"):
                shutil.copytree(path, Path(folder) / path.name)
            else:  # what some tests look at
                (Path(folder) / path.name).symlink_to(path)
        (Path(folder) / f"samplevae/{module}.py").write_text(source)
        place = {"PYTHONPATH": f"{folder}:{folder}/tests", "OMP_NUM_THREADS": "1", "SAMPLEVAE_CACHE": f"{folder}/cache"}
        place |= {"REACHED": str(reached)} if reached else {}
        command = [sys.executable, "-m", "pytest", "-x", "-n", "0", "-m", "not long and not slow", *tests]
        command += ["-p", "reached"] if reached else []
        try:
            done = subprocess.run(command, cwd=folder, env=os.environ | place, capture_output=True, timeout=1800)
        except subprocess.TimeoutExpired:  # a loop without an end is noticed
            return False
        return done.returncode == 0


def find_reached(files: list[str], jobs: int) -> dict[str, Any]:
    "Run the tests of some files as they are -> what each of them calls."
    whole = (CLONE / "samplevae/runs.py").read_text()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        places = [Path(folder) / f"{number}.json" for number in range(len(files))]
        passing = [*pool.map(lambda file, place: run_tests("runs", whole, [file], place), files, places)]
        assert all(passing), f"without a change the tests should pass: {dict(zip(files, passing, strict=True))}"
        found = [json.loads(place.read_text()) for place in places]
    return {part: {name: those for one in found for name, those in one[part].items()} for part in ("tests", "shared")}


def find_survivors(
    kind: str, changes: dict[str, tuple[str, str, int]], jobs: int, reached: dict[str, Any]
) -> list[str]:
    "The names of the changes that no test notices."
    bar = tqdm(total=len(changes), desc=kind)

    def is_missed(name: str) -> bool:
        module, source, line = changes[name]
        files = [WIRING] if kind == "list" else CONCERN[module]
        function = enclosing_function(module, line) if line else ""
        missed = run_tests(module, source, tests_that_reach(function, files, reached) if function else files)
        bar.write(f"{'survives' if missed else 'noticed '} {name}"), bar.update()
        return missed

    with ThreadPoolExecutor(jobs) as pool:
        missed = dict(zip(changes, pool.map(is_missed, changes), strict=True))
    bar.close()
    return sorted(name for name in changes if missed[name])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--generic", type=int, default=0, metavar="COUNT", help="changes to draw beside the list")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--jobs", type=int, default=2, help="how many to try at a time")
    options.add_argument("--only", help="changes whose name holds this text")
    options = options.parse_args()
    needed = {WIRING} | ({test for tests in CONCERN.values() for test in tests} if options.generic else set())
    reached = find_reached(sorted(needed), options.jobs)
    results = {}
    for kind, changes in ("list", listed_changes()), ("generic", generic_changes(options.seed, options.generic)):
        chosen = {name: change for name, change in changes.items() if (options.only or "") in name}
        survivors = find_survivors(kind, {name: changes[name] for name in chosen}, options.jobs, reached)
        results[kind] = {"changes": len(chosen), "survive": survivors}
        print(f"{kind}: {len(survivors)} of {len(chosen)} survive")
    if not options.only:
        about = {"date": time.strftime("%Y-%m-%d"), "seed": options.seed}
        write_json(CLONE / "benchmarks/results/mutants.json", about | results)


if __name__ == "__main__":
    main()
