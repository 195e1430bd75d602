"The experiment on flows: rows of trained runs, and differences that are taken training by training."

import json
import math
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import ttest_rel

from samplevae.batches import Experiment, read_experiment, run_chapter
from samplevae.config import Config, open_run
from samplevae.files import CLONE
from samplevae.flow_results import (
    OWN,
    RESULTS,
    by_training,
    compare_posteriors,
    compare_priors,
    mean_of_trainings,
    measure_experiment,
    plot_priors,
    plot_rate_distortion,
    require_comparable,
    results_path,
)
from samplevae.labels import ask_prior, label_accuracy, score_labels
from samplevae.later_embeddings import add_to_experiment
from samplevae.runs import Run
from samplevae.settings import Refused


def made_up_rows(apart, seeds=(1, 2, 3), posteriors=("gaussian", "iaf"), draws=2):
    "Rows of trainings that differ much, in each of which the set `far` lies `apart` from the set `near`."
    chance = np.random.default_rng(0)
    rows = []
    for posterior in posteriors:
        for seed in seeds:
            level = 10.0 * seed  # of the training
            row = {"posterior": posterior, "beta": 0.002, "seed": seed}
            rows.append(row | {"set": "model", "log-mel, dB": level + (posterior == "iaf")})
            rows.append(row | {"set": "reconstructed", "Fréchet, mel": level})
            for name, by in {"near": 0.0, "far": apart}.items():
                rows.append(row | {"set": name, "rate": level + by})
                for draw in range(draws):
                    value = level + by + 0.01 * chance.standard_normal()
                    rows.append(row | {"set": name, "draw": draw, "Fréchet, mel": value})
    return pd.DataFrame(rows)


def test_a_label_that_a_prior_does_not_draw_counts_as_wrong_and_stops_nothing(monkeypatch):
    points = np.array([[0.0, 0], [0, 1], [9, 9], [9, 8], [5, -9]])
    real = SimpleNamespace(table=pd.DataFrame({"label": ["kick", "kick", "hat", "hat", "gong"]}), rate=1)
    model, by = (
        SimpleNamespace(config=SimpleNamespace(sample_rate=1)),
        SimpleNamespace(embed=lambda sounds, rate: sounds),
    )

    def draw(model, prior, count, label):
        if label == "gong":
            raise Refused("only 3 of 80000 draws are as asked for")
        return np.tile(points[0 if label == "kick" else 1], (count, 1))  # what is called a hat is a kick

    monkeypatch.setattr("samplevae.labels.generate", draw)
    assert label_accuracy(ask_prior(model, None), real, points, by) == pytest.approx(1 / 3)


def test_a_small_difference_is_sure_where_trainings_differ_much():
    rows = made_up_rows(0.5)
    values = by_training(rows, "Fréchet, mel")
    mean, low, high = mean_of_trainings(values["far"] - values["near"])
    assert 0.45 < low < mean < high < 0.55
    assert np.std(values["near"]) > 5, "the trainings themselves are far apart"
    interval = ttest_rel(values["far"], values["near"]).confidence_interval(0.9)
    assert (low, high) == pytest.approx((interval.low, interval.high))


def test_draws_of_one_training_count_once():
    few, many = (mean_of_trainings(by_training(made_up_rows(0.5, draws=n), "rate")["far"])[1:] for n in (1, 50))
    assert few == many, "more draws do not make a training sure"


def test_one_training_has_no_interval():
    mean, low, high = mean_of_trainings(pd.Series([3.0, math.nan]))
    assert mean == 3 and math.isnan(low) and math.isnan(high)
    table = compare_priors(made_up_rows(0.5, seeds=(1,), posteriors=("gaussian",)), {"rate": 1}, "near")
    assert table.loc["far", "rate, minus near"] == "0.5"


def test_tables_of_priors_and_of_posteriors_compare_what_belongs_together():
    rows = made_up_rows(0.5)
    priors = compare_priors(rows, {"rate": 2, "Fréchet, mel": 1}, "near")
    assert priors.loc["far", "rate, minus near"] == "0.50 [0.50, 0.50]"
    assert (
        priors.loc["near", "rate, minus near"] == "" and priors.loc["reconstructed", "Fréchet, mel, minus near"] == ""
    )
    posteriors = compare_posteriors(rows, "near", {"log-mel, dB": 1, "rate": 1})
    assert posteriors.loc["iaf", "log-mel, dB, minus gaussian"] == "1.0 [1.0, 1.0]"
    assert posteriors.loc["iaf", "rate, minus gaussian"] == "0.0 [0.0, 0.0]"
    uneven = rows[(rows.posterior == "gaussian") | (rows.seed < 3)]  # a seed that only the Gaussian has is left out
    assert compare_posteriors(uneven, "near", {"rate": 1}).loc["iaf", "rate, minus gaussian"] == "0.0 [0.0, 0.0]"
    plot_priors(rows, ["Fréchet, mel", "rate"]), plot_rate_distortion(rows, ["near", "far"], ["Fréchet, mel"])


def test_each_experiment_has_a_file_of_its_own(tmp_path):
    files = [results_path(CLONE / "outputs" / name) for name in OWN]
    assert files[0] == RESULTS and len({*files}) == len(OWN)
    assert results_path(tmp_path / "flows") == tmp_path / "flows/flows.json", "not this repository's"


@pytest.mark.parametrize("name", OWN)
def test_the_file_of_results_holds_what_its_experiment_asks_for(name):
    experiment = read_experiment(CLONE / f"nbs/experiments/{name}.yaml")
    path = results_path(CLONE / experiment.out)
    if not path.exists():
        pytest.skip(f"{name} has not been measured yet")
    kept = json.loads(path.read_text())
    asked = {(config.posterior, config.beta, config.seed) for config in experiment.configs.values()}
    rows = pd.DataFrame(kept["rows"])
    measured = {
        (posterior.removesuffix(", joint prior"), beta, seed)
        for posterior, beta, seed in rows.groupby(["posterior", "beta", "seed"]).groups
    }
    assert measured <= asked and path.with_suffix(".yaml").name in kept["command"]
    priors = next(iter(experiment.configs.values())).priors
    for training, of_training in rows.groupby(["posterior", "beta", "seed"]):
        assert {*priors, "model", "real, held out", "reconstructed"} <= {*of_training.set}, training


def test_runs_that_differ_in_more_than_the_table_knows_are_refused(tmp_path):
    base = Config.preset("smoke", seed=1)
    runs = [Run(tmp_path / name, replace(base, **changes)) for name, changes in {"a": {}, "b": {"seed": 2}}.items()]
    require_comparable(runs)
    with pytest.raises(Refused, match="b differs in latent, too"):
        require_comparable([runs[0], Run(tmp_path / "b", replace(base, latent=3, seed=2))])
    with pytest.raises(Refused, match="give it another seed"):
        require_comparable([*runs, Run(tmp_path / "c", base)])
    require_comparable([runs[0], Run(tmp_path / "d", replace(base, joint_prior=True)), *runs[1:]])


@pytest.mark.long
def test_the_chapter_measures_the_runs_of_an_experiment_and_makes_its_page(smoke_run, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(smoke_run, folder / "one")
    run_chapter(Experiment(folder, {"one": open_run(smoke_run).config}, "61_flow_results", "train"))
    path, run = folder / "flows.json", open_run(folder / "one")
    rows, written = pd.DataFrame(json.loads(path.read_text())["rows"]), path.stat().st_mtime_ns
    assert str(folder) in json.loads(path.read_text())["command"]
    assert {"model", *run.config.priors} <= {*rows.set} and (rows.seed == run.config.seed).all()
    drawn = rows[rows.set == run.config.priors[0]]
    assert drawn.rate.notna().sum() == 1 and drawn["Fréchet, mel"].notna().sum() >= 1
    assert rows.loc[rows.set == "real, held out", "Fréchet, mel"].iloc[0] < drawn["Fréchet, mel"].mean()
    assert len(measure_experiment([run], path)) == len(rows) and path.stat().st_mtime_ns == written, "measured once"
    stripped = json.loads(path.read_text())
    for row in stripped["rows"]:  # what an embedding that comes later finds
        row.pop("Fréchet, mel", None), row.pop("coverage, mel", None)
    later = folder / "later.json"
    later.write_text(json.dumps(stripped))
    again = pd.DataFrame(add_to_experiment([run], later, "mel"))
    assert again["Fréchet, mel"].notna().sum() == rows["Fréchet, mel"].notna().sum() > 3
    assert np.allclose(again["Fréchet, mel"], rows["Fréchet, mel"], rtol=1e-4, equal_nan=True), "the same sounds"
    for row in (kept := json.loads(path.read_text()))["rows"]:
        row["weights"] = "of another training"
    path.write_text(json.dumps(kept))
    renewed = measure_experiment([run], path)
    assert len(renewed) == len(rows) and set(renewed.weights) == set(rows.weights), "measured again, in its place"
    for row in (kept := json.loads(path.read_text()))["rows"]:  # sounds without labels
        for column in [name for name in row if name.endswith(", drumnet") or name == "label accuracy"]:
            row.pop(column)
    path.write_text(json.dumps(kept))
    run_chapter(Experiment(folder, {"one": run.config}, "61_flow_results", "train"))
    page = (folder / "report.html").read_text()
    assert "How sure is a difference" in page and "What helped" not in page, "what is said of other runs is left out"


def test_trainings_of_one_seed_count_once():
    "Where what is near and far differs by the seed alone, four posteriors say no more than one."
    rows = made_up_rows(0.0, posteriors=("gaussian", "full", "iaf", "spline"))
    rows.loc[rows.set == "far", "rate"] += 0.1 * rows.seed
    tables = [
        compare_priors(part, {"rate": 2}, "near").loc["far", "rate, minus near"]
        for part in (rows, rows[rows.posterior == "gaussian"])
    ]
    assert tables[0] == tables[1] == "0.20 [0.03, 0.37]"


def test_the_same_sound_each_time_is_right_and_not_various():
    chance = torch.Generator().manual_seed(0)
    labels = np.repeat(["kick", "hat"], 120)
    table = pd.DataFrame({"label": labels, "group": np.arange(240) % 12})
    points = torch.randn(240, 3, generator=chance) + 5 * torch.tensor(labels == "hat")[:, None]
    by = {"mel": SimpleNamespace(embed=lambda sounds, rate: sounds.double().numpy())}
    real = SimpleNamespace(table=table)
    held = SimpleNamespace(table=pd.concat([table.iloc[::3], pd.DataFrame({"label": ["gong"], "group": [0]})]), rate=1)

    def various(label, count):
        return torch.randn(count, 3, generator=chance) + 5 * (label == "hat")

    def same(label, count):
        return torch.full((count, 3), 5.0 * (label == "hat"))

    scores = {a.__name__: score_labels(a, real, held, {"mel": points.double().numpy()}, by) for a in (various, same)}
    assert {*scores["various"]} == {*scores["same"]} == {"kick", "hat"}, "a label with one sound is not reported"
    for label in ("kick", "hat"):
        assert abs(scores["various"][label]["KAD, mel"]) < 0.03 < 0.06 < scores["same"][label]["KAD, mel"]
