"Systems of others, in small: each learns for a few steps, makes sounds, and says what it cannot do."

import math

import pytest
import torch
from conftest import CLONE

from samplevae.baseline import Baseline, Clock, Diverged
from samplevae.baseline_runs import BASELINES, load_baseline
from samplevae.config import Config
from samplevae.dataset import prepare_store
from samplevae.runs import Run
from samplevae.settings import Refused


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    "Synthesised drums: 96 of half a second."
    config = Config.preset("smoke", num_clips=96, seconds=0.5, sample_rate=22050)
    return prepare_store(Run(tmp_path_factory.mktemp("run"), config))


def small(name, store, seed=0):
    "A system that is not trained."
    torch.manual_seed(seed)
    return load_baseline(name).for_store(store)


@pytest.mark.long
@pytest.mark.parametrize("name", BASELINES)
def test_a_few_steps_then_sounds_of_the_right_length_the_same_for_the_same_seed(name, store):
    system = small(name, store)
    system.batch_size = min(system.batch_size, 10)
    before = [weight.detach().clone() for weight in system.parameters()]
    assert system.fit(store, minutes=1.0, most_steps=3) is system and not system.training
    assert system.done == (3 if system.optimizers else 1) and 0 < system.minutes and len(system.curve) == system.done
    if system.optimizers:
        assert any(not torch.equal(a, b) for a, b in zip(before, system.parameters(), strict=False)), "it has learned"
    assert system.paper and system.simplified and system.reconstructs + system.generates
    shape = (3, store.clips.shape[1])
    if system.reconstructs:
        x = store.sounds(slice(3))
        y = system.reconstruct(x)
        assert y.shape == shape and y.isfinite().all() and y.abs().max() <= 1
        assert torch.equal(y, system.reconstruct(x))
    if system.generates:
        y, again, other = (system.generate(3, seed=seed) for seed in (1, 1, 2))
        assert y.shape == shape and y.isfinite().all() and y.abs().max() <= 1
        assert torch.equal(y, again) and not torch.equal(y, other)
        if system.by_label:
            assert system.generate(2, label="kick").shape[0] == 2
        if system.by_pitch:
            low, high = (system.generate(2, pitch=pitch) for pitch in (100.0, 200.0))
            assert not torch.equal(low, high)


def test_what_cannot_be_done_is_refused(store):
    nearest = small("nearest", store).fit(store, 0.01)
    for wanted, text in (
        ({"label": "kik"}, "did you mean 'kick'"),
        ({"pitch": 100.0}, "takes none"),
        ({"n": 0}, "from 1"),
    ):
        with pytest.raises(Refused, match=text):
            nearest.generate(**{"n": 1} | wanted)
    with pytest.raises(Refused, match="did you mean 'wavegan'"):
        load_baseline("wavgan")
    with pytest.raises(Refused, match="does not generate"):
        small("melgan", store).generate(1)
    with pytest.raises(Refused, match="no way from a sound"):
        small("wavegan", store).reconstruct(store.sounds(slice(2)))


class Exploding(Baseline):
    "Its loss is no number in the third step."

    def build(self):
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def loss(self, x, labels):
        return self.weight.sum() * (math.nan if self.done == 2 else 1.0)


def test_a_loss_that_is_no_number_ends_a_training(store):
    system = Exploding.for_store(store)
    with pytest.raises(Diverged, match="Exploding diverged in step 3: its loss is nan"):
        system.fit(store, 1.0)
    assert len(system.curve) == 2, "what was learned before stays"


def test_a_budget_too_small_for_one_step_takes_one(store):
    class Still(Exploding):
        def loss(self, x, labels):
            return self.weight.sum()

    assert Still.for_store(store).fit(store, 1e-9).done == 1


def test_the_clock_leaves_out_what_is_measured():
    clock = Clock(1.0)
    with clock.paused():
        sum(i * i for i in range(3_000_000))
    assert clock.spent() < 0.002
    assert Clock(1.0, 10).share(5) >= 0.5


def test_each_system_has_a_chapter():
    chapters = "".join(path.read_text() for path in (CLONE / "nbs/baselines").glob("*.ipynb"))
    for name in BASELINES:
        assert f'show_baseline(\\"{name}\\")' in chapters, name
