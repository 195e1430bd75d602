"What training does when something goes wrong that is no kill."

import errno

import pytest
import torch

from samplevae import training
from samplevae.dataset import store_of
from samplevae.runs import Config, Run


def smoke(folder, **changes):
    "A run of six steps, and its sounds."
    run = Run.create(folder, Config.preset("smoke", save_every=0, **changes))
    return run, store_of(run)


def test_a_full_disk_does_not_stop_training(tmp_path, monkeypatch):
    saved, save = [], training.save_checkpoint

    def full_at_three(path, model, optimiser, step, mark):
        if step == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(path, model, optimiser, step, mark)
        saved.append(step)

    monkeypatch.setattr(training, "save_checkpoint", full_at_three)
    run, store = smoke(tmp_path / "run")
    model = training.train(run, store)
    assert saved == [1, 2, 4, 5] and all(p.isfinite().all() for p in model.parameters())
    assert any("no checkpoint at step 3" in text and "No space left" in text for text in run.warnings)


@pytest.mark.parametrize("where", ["loss", "slope"])
def test_what_is_no_number_stops_training_and_the_checkpoint_before_stays(tmp_path, monkeypatch, where):
    class Spoiled(torch.autograd.Function):
        forward = staticmethod(lambda ctx, x: x * 1)
        backward = staticmethod(lambda ctx, slope: slope * float("nan"))

    terms_of, steps = training.terms_of, []

    def spoiled(model, x):
        terms = terms_of(model, x)
        steps.append(len(steps))
        if steps[-1] == 3:
            terms["distance"] = (
                terms["distance"] * float("nan") if where == "loss" else Spoiled.apply(terms["distance"])
            )
        return terms

    monkeypatch.setattr(training, "terms_of", spoiled)
    run, store = smoke(tmp_path / "run")
    with pytest.raises(FloatingPointError, match="no number at step 3: .*'slope': nan.*learning_rate"):
        training.train(run, store)
    monkeypatch.setattr(training, "terms_of", terms_of)
    training.train(run, store)
    log = (run / "train.jsonl").read_text()
    assert len(log.splitlines()) == 6 and "NaN" not in log
