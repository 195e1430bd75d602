"Listening tests: what is heard, the page in a real browser, what comes back, and what is made of it."

import base64
import io
import json
import urllib.error
import urllib.request
from dataclasses import replace
from threading import Thread

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from conftest import needs_browser
from ruamel.yaml import YAML

from samplevae.batches import read_listening
from samplevae.config import open_run
from samplevae.dataset import prepare_store
from samplevae.listening import (
    check_result,
    keep_result,
    listening_test,
    make_test,
    serve_test,
    write_test,
    write_webmushra,
)
from samplevae.listening_report import analyse_listening, rating_tables
from samplevae.ratings import (
    Variation,
    abx_rows,
    bootstrap_means,
    fit_mixed_model,
    krippendorff_alpha,
    opinion_rows,
    pair_rows,
    read_ratings,
    simulate_ratings,
)
from samplevae.real_or_made import blind_trial, real_or_made
from samplevae.settings import Refused
from samplevae.stimuli import (
    ANCHOR,
    REAL,
    TEST_KINDS,
    Stimulus,
    choose_items,
    low_anchor,
    match_loudness,
    short_loudness,
)
from samplevae.tested_systems import ModelUnderTest, common_items, find_learned, open_systems
from samplevae.vae import SampleVAE
from samplevae.vectors import encode_posteriors

RATE = 44_100
MODEL = "seven bits, reconstructed"


def tone(hertz, seconds, level=1.0, total=0.6):
    wave = torch.zeros(round(total * RATE))
    part = torch.sin(2 * torch.pi * hertz * torch.arange(round(seconds * RATE)) / RATE)
    wave[: len(part)] = level * part
    return wave


@pytest.fixture(scope="module")
def stimuli():
    noise = torch.Generator().manual_seed(0)
    x = torch.stack(
        [tone(200 + 300 * k, 0.1 + 0.05 * k, 0.5) + 0.05 * torch.randn(26_460, generator=noise) for k in range(8)]
    )
    sets = {REAL: x, ANCHOR: low_anchor(x, RATE), MODEL: (64 * x).round() / 64}
    pairs = [(f"{k:03} tone", name, wave) for name, waves in sets.items() for k, wave in enumerate(waves)]
    return match_loudness([Stimulus(*pair) for pair in pairs], RATE)


def answered(made, listener="ab12", rate=lambda system: {REAL: 5, MODEL: 3, ANCHOR: 1}[system], **changes):
    "What a listener sends who answers everything, by the name of the system."
    page, _, key = made
    answers = []
    if page["kind"] == "mushra":
        for item in key["items"]:
            answers.append({"item": item, "ratings": {code: 20 * rate(name) for code, name in key["systems"].items()}})
    else:
        for stimulus in page["stimuli"][: page["length"]]:
            given = {"item": stimulus["item"], "system": stimulus["system"]}
            value = rate(key["systems"][stimulus["system"]])
            answers.append(given | ({"right": value > 2} if page["kind"] == "abx" else {"rating": value}))
    result = {"test": page["id"], "kind": page["kind"], "listener": listener, "consent": True, "answers": answers}
    return result | {"headphones": {"right": 6, "of": 6}, "began": "2026-01-01"} | changes


class FakeStore:
    "A table of sounds that are all held out."

    def __init__(self, table):
        self.table = table

    def with_table(self, table):
        return FakeStore(table)

    def split(self, *names):
        return self

    def __len__(self):
        return len(self.table)


# -- what is heard


def test_loudness_is_that_of_bs1770_for_what_lasts_and_of_the_loudest_part_for_what_does_not():
    lasting = tone(997, 0.6)[None]
    assert short_loudness(lasting, RATE).item() == pytest.approx(-3.01, abs=0.1)  # the standard's calibration
    brief = tone(997, 0.1)[None]
    assert short_loudness(brief, RATE).item() == pytest.approx(short_loudness(lasting, RATE).item(), abs=0.5)
    assert short_loudness(torch.zeros(1, 1000), RATE).item() <= -119


def test_versions_of_an_item_are_equally_loud_and_nothing_clips():
    click, hum = torch.zeros(26_460), tone(300, 0.5, 0.1)
    click[100] = 1.0
    given = [
        Stimulus("a", REAL, hum),
        Stimulus("a", MODEL, 0.01 * hum),
        Stimulus("b", REAL, hum),
        Stimulus("b", MODEL, click),
    ]
    loud = short_loudness(torch.stack([one.wave for one in match_loudness(given, RATE)]), RATE)
    assert loud[0] == pytest.approx(-23, abs=0.1) and loud[1] == pytest.approx(-23, abs=0.1)
    assert loud[2] == pytest.approx(loud[3].item(), abs=0.1) and loud[2] < -30, "the click sets the level of its item"
    assert max(one.wave.abs().max() for one in match_loudness(given, RATE)) <= 0.9701
    with pytest.raises(Refused, match="silent, first .* of b"):
        match_loudness([*given[:3], Stimulus("b", MODEL, 0 * click)], RATE)


def test_the_low_anchor_ends_at_3500_hz():
    for hertz, least, most in (1000, -0.2, 0.2), (3300, -0.3, 0.2), (4500, -200, -40), (12_000, -200, -50):
        x = tone(hertz, 0.6)[None]
        level = 20 * torch.log10(low_anchor(x, RATE)[0, 9000:20_000].std() / x[0, 9000:20_000].std())
        assert least < level < most, hertz
    with pytest.raises(Refused, match="8 kHz"):
        low_anchor(torch.zeros(1, 100), 6000)


def test_items_are_chosen_from_all_labels_and_from_many_groups():
    labels, groups = ["kick"] * 40 + ["hat"] * 5, [f"k{n // 10}" for n in range(40)] + [f"h{n}" for n in range(5)]
    table = pd.DataFrame({"label": labels, "group": groups})
    chosen = table.iloc[choose_items(table, 8, 0)]
    assert chosen.label.value_counts().to_dict() == {"kick": 4, "hat": 4} and chosen.group.nunique() == 8
    assert list(choose_items(table, 8, 0)) == list(choose_items(table, 8, 0)) != list(choose_items(table, 8, 1))
    assert sorted(choose_items(table, 999, 0)) == list(range(45)), "all, each once"


# -- the page


@pytest.mark.parametrize("kind", TEST_KINDS)
def test_a_page_says_nothing_of_what_it_plays(kind, stimuli, tmp_path):
    test = make_test(kind, stimuli, RATE, "A </script><!-- test")
    text = write_test(tmp_path / "test", test).read_text()
    assert MODEL not in text and "seven bits" not in text and ANCHOR not in text and "003 tone" not in text
    for sound in test[1].values():
        wave, rate = soundfile.read(io.BytesIO(base64.b64decode(sound)))
        assert rate == RATE and 0 < np.abs(wave).max() < 1
    assert set(test[2]["systems"].values()) == ({MODEL, ANCHOR, REAL})
    write_test(tmp_path / "test", test)  # the same once more changes nothing
    with pytest.raises(Refused, match="another listening test"):
        write_test(tmp_path / "test", make_test(kind, stimuli, RATE, "Other"))


def open_trials(page, address):
    "Open a page and go on to its first trial, by the keyboard alone."
    page.goto(address)
    page.wait_for_function("!!window.listening")
    page.focus("input[type=checkbox]")
    if not page.is_checked("input[type=checkbox]"):
        page.keyboard.press("Space")
    page.keyboard.press("Enter")
    play(page, " ")
    page.keyboard.press("Enter")
    if page.locator(".where").inner_text().startswith("headphones"):
        for tries in range(2):
            for _ in range(6):
                page.keyboard.press(" ")
                page.keyboard.press("2")
            if tries or "loudspeakers" not in page.locator("h2").inner_text():
                break
            page.keyboard.press("Enter")  # once more
        answer_trial(page)  # practice


def play(page, key):
    page.keyboard.press(key)
    page.wait_for_selector(f'.screen button[data-key="{key}"][data-plays]')


def answer_trial(page):
    "Answer what is asked, whatever it is, and go on."
    heading, keys = (
        page.locator("h2").inner_text(),
        page.eval_on_selector_all(".screen button", "all => all.map(one => one.dataset.key)"),
    )
    before = page.locator(".where").inner_text()
    if heading.startswith("No sound"):
        page.keyboard.press(heading[-1])
    elif "x" in keys:
        [play(page, key) for key in "abx"]
        page.keyboard.press("1")
    elif "0" in keys:
        for key in "123":
            play(page, key)
            page.keyboard.press("ArrowRight")
            page.keyboard.press("PageUp")
        assert page.is_disabled(".next"), "the reference has not been heard"
        play(page, "0")
    elif " " in keys:
        [play(page, key) for key in keys if key in ("r", " ")]
        page.keyboard.press("4")
    page.keyboard.press("Enter")
    page.wait_for_function("before => document.querySelector('.where').textContent !== before", arg=before)


@needs_browser
@pytest.mark.parametrize("kind, width", [("mos", 1280), ("mushra", 400), ("abx", 1280), ("similarity", 400)])
def test_a_listener_goes_from_the_first_question_to_the_last_and_may_reload(kind, width, stimuli, tmp_path, browser):
    test = make_test(kind, stimuli, RATE, length=6)
    page = browser.new_page(viewport={"width": width, "height": 900}, bypass_csp=True)  # for `wait_for_function`
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    address = write_test(tmp_path / "test", test).as_uri() + "?listener=me"
    open_trials(page, address)
    for _ in range(3):
        answer_trial(page)
    page.reload()
    open_trials(page, address)
    assert page.evaluate("listening.result.answers.length") == 3, "what was answered is there"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
    while not page.evaluate("listening.result.ended"):
        answer_trial(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the answers").click()
    result = json.loads(download.value.path().read_text())
    check_result(result, test[2])
    asked = [answer for answer in result["answers"] if "check" not in answer]
    assert len(asked) == 6 and result["consent"] and result["headphones"]["of"] == 6
    practised = page.evaluate("listening.practiceTrial.item")
    assert practised not in {answer["item"] for answer in asked}, "eight items, of which six are asked"
    assert result["headphones"]["tries"] == 1 + (result["headphones"]["right"] < 5), "who fails is asked once more"
    if kind == "mushra":
        assert all(set(answer["ratings"]) == set(test[2]["systems"]) for answer in asked)
    page.get_by_role("button", name="Somebody else takes part here").click()
    page.wait_for_function("!!window.listening && !listening.result.answers.length")
    assert page.evaluate("listening.result.listener") != "me" and "listener=" not in page.url
    assert not complaints
    page.close()


@needs_browser
def test_each_listener_hears_all_systems_equally_often_in_an_own_order(stimuli, tmp_path, browser):
    page, seen = browser.new_page(), []
    file = write_test(tmp_path / "test", make_test("mos", stimuli, RATE, length=12))
    for listener in "abcdefgh":
        page.goto(f"{file.as_uri()}?listener={listener}")
        trials = [trial for trial in page.evaluate("listening.trials") if "check" not in trial]
        assert [trial["system"] for trial in trials].count(trials[0]["system"]) == 4, "twelve trials of three systems"
        assert max(pd.Series([trial["item"] for trial in trials]).value_counts()) == 2, "eight items"
        assert all(one["item"] != other["item"] for one, other in zip(trials, trials[1:], strict=False))
        seen.append([trial["sound"] for trial in trials])
    page.goto(f"{file.as_uri()}#key?listener=b")  # a code that was put behind the key
    assert page.evaluate("[listening.result.listener, listening.key]") == ["b", "key"]
    page.goto(f"{file.as_uri()}?listener=a")
    assert [trial["sound"] for trial in page.evaluate("listening.trials") if "check" not in trial] == seen[0]
    assert len({tuple(order) for order in seen}) == 8
    page.close()


def test_a_server_collects_answers_and_loses_none(stimuli, tmp_path):
    test = make_test("mos", stimuli, RATE)
    write_test(tmp_path / "test", test)
    server, address = serve_test(tmp_path / "test")
    Thread(target=server.serve_forever, daemon=True).start()
    place, key = address.split("#")

    def send(content, key=key):
        request = urllib.request.Request(f"{place}result", json.dumps(content).encode(), {"X-Key": key})
        try:
            return urllib.request.urlopen(request).status
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    try:
        assert urllib.request.urlopen(f"{place}?listener=ab").status == 200
        first, second = answered(test), answered(test, rate=lambda _: 2)
        assert send(first) == send(first) == send(second) == 200
        assert send(first, "wrong")[0] == 403
        for bad in [], 3, first | {"test": "x"}, first | {"consent": False}, first | {"listener": "../../up"}:
            assert send(bad)[0] == 400
        assert "range" in send(first | {"answers": [first["answers"][0] | {"rating": 9}]})[1]
    finally:
        server.shutdown()
    files = sorted((tmp_path / "test/results").glob("*"))
    again, same = serve_test(tmp_path / "test")
    assert same.split("#")[1] == key, "an address that was handed out stays good"
    with pytest.raises(Refused, match="cannot be used"):
        serve_test(tmp_path / "test", again.server_address[1])
    again.server_close()
    assert [file.name for file in files] == ["ab12-2.json", "ab12.json"] and json.loads(files[1].read_text()) == first


@pytest.mark.parametrize("kind", ["mos", "mushra", "abx"])
def test_webmushra_finds_what_its_file_names(kind, stimuli, tmp_path):
    file = write_webmushra(tmp_path / "short", kind, stimuli, RATE, "Short")
    content = YAML(typ="safe").load(file.read_text())
    first, trials, last = content["pages"]
    assert (first["type"], trials[0], last["type"]) == ("volume", "random", "finish")
    for page in trials[1:]:
        for path in [*page["stimuli"].values(), *([page["reference"]] if "reference" in page else [])]:
            assert soundfile.info(tmp_path / path.removeprefix("configs/")).samplerate == RATE
    assert len(trials) - 1 == {"mos": 1, "mushra": 8, "abx": 16}[kind]
    with pytest.raises(Refused, match="similarity"):
        write_webmushra(tmp_path / "other", "similarity", stimuli, RATE, "")
    with pytest.raises(Refused, match="there already"):
        write_webmushra(tmp_path / "short", kind, stimuli, RATE, "Short")


# -- what comes back


def test_whoever_did_not_listen_is_left_out_and_named(stimuli, tmp_path):
    test = make_test("mos", stimuli, RATE)
    folder = write_test(tmp_path / "test", test).parent
    whole = answered(test, "good")
    cases = {
        "good": whole, "later": answered(test, "later") | {"answers": whole["answers"][:9]}, "deaf": answered(test, "deaf", lambda _: 3),
        "upside": answered(test, "upside", lambda system: {REAL: 1, MODEL: 3, ANCHOR: 5}[system]),
        "loud": answered(test, "loud", headphones={"right": 3, "of": 6}), "none": answered(test, "none", headphones=None),
        "fast": answered(test, "fast") | {"answers": [one | {"seconds": 0.1} for one in whole["answers"]]},
        "asleep": answered(test, "asleep") | {"answers": whole["answers"] + [{"check": 2, "rating": 5}]},
        "far": answered(test, "far") | {"answers": [whole["answers"][0] | {"rating": 17}]}, "other": answered(test, "other", test="x"),
    }  # fmt: skip
    for result in cases.values():
        keep_result(folder, result)
    keep_result(folder, answered(test, "good", lambda _: 4, began="2026-02-02"))
    (folder / "results/cut.json").write_text(json.dumps(whole)[:500])
    ratings, excluded, _ = read_ratings(folder)
    assert (
        set(ratings.listener) == {"good"} and len(ratings) == 24 and ratings[ratings.system == REAL].rating.eq(5).all()
    )
    why = {row["file"].removesuffix(".json"): row["why"] for row in excluded}
    expected = {"later": "answered 9", "deaf": "one answer", "upside": "no better", "loud": "headphones", "none": "headphones", "asleep": "asked for", "far": "range", "other": "another test", "cut": "", "good-2": "before", "fast": "less than 0.5 s"}  # fmt: skip
    assert why.keys() == expected.keys() and all(text in why[name] for name, text in expected.items()), why


WRONG = [
    {"item": []},
    {"item": {}},
    {"system": 3},
    {"rating": "4"},
    {"rating": True},
    {"rating": float("nan")},
    {"rating": 1e300},
    {"rating": None},
    {"check": "2"},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_an_answer_that_is_none_is_refused(wrong, stimuli):
    test = make_test("mos", stimuli, RATE)
    result = answered(test)
    check_result(result, test[2])
    with pytest.raises(Refused, match="answer 1 is"):
        check_result(result | {"answers": [result["answers"][0] | wrong]}, test[2])
    for changed in (
        {"answers": [3]},
        {"answers": None},
        {"listener": 5},
        {"listener": "a b"},
        {"consent": 1},
        {"kind": []},
    ):
        with pytest.raises(Refused):
            check_result(result | changed, test[2])
    mushra = make_test("mushra", stimuli, RATE)
    with pytest.raises(Refused, match="not of all systems"):
        check_result(answered(mushra) | {"answers": [{"item": [*mushra[2]["items"]][0], "ratings": {}}]}, mushra[2])
    abx = make_test("abx", stimuli, RATE)  # the real sound is always one of the two, and never asked for
    real = next(code for code, name in abx[2]["systems"].items() if name == REAL)
    answer = {"item": [*abx[2]["items"]][0], "system": real, "right": True}
    with pytest.raises(Refused, match="not asked"):
        check_result(answered(abx) | {"answers": [answer]}, abx[2])


def test_a_damaged_result_is_never_written_over_and_a_damaged_key_is_named(stimuli, tmp_path):
    test = make_test("mos", stimuli, RATE)
    folder = write_test(tmp_path / "test", test).parent
    (folder / "results/ab12.json").write_text("half a res")
    assert keep_result(folder, answered(test)).name == "ab12-2.json"
    keep_result(folder, answered(test, "cd", headphones="six", began=[3]))
    keep_result(folder, answered(test, "cd", headphones={"right": "6"}, began=None))
    assert set(read_ratings(folder)[0].listener) == {"ab12"}
    again = answered(test, "ef")
    keep_result(folder, again)
    (folder / f"{test[2]['id']}-ef.json").write_text((folder / "results/ef.json").read_text())
    assert set(read_ratings(folder)[0].listener) == {"ab12", "ef"}, "one file in two places is one listener"
    with pytest.raises(Refused, match="twice"):
        check_result(again | {"answers": again["answers"][:3] + again["answers"][:1]}, test[2])
    (folder / "test.json").write_text('{"id": 3}')
    with pytest.raises(Refused, match="damaged"):
        read_ratings(folder)
    with pytest.raises(Refused, match="damaged"):
        write_test(folder, test)


def test_the_hidden_reference_has_to_be_found(stimuli, tmp_path):
    test = make_test("mushra", stimuli, RATE)
    folder = write_test(tmp_path / "test", test).parent
    keep_result(folder, answered(test, "good"))
    keep_result(folder, answered(test, "other", lambda system: {REAL: 4, MODEL: 3, ANCHOR: 1}[system]))
    assert set(read_ratings(folder)[0].listener) == {"good"}
    with pytest.raises(Refused, match="at least 3"):
        analyse_listening(folder)
    with pytest.raises(Refused, match="no answers"):
        read_ratings(write_test(tmp_path / "empty", test).parent)
    with pytest.raises(Refused, match="no test.json"):
        read_ratings(tmp_path)


# -- what is made of it

KNOWN = {"a": 3.0, "b": 3.3, "c": 3.8}


def test_intervals_hold_what_is_known_as_often_as_they_say():
    held = {"means": [], "differences": [], "bootstrap": []}
    for seed in range(80):
        ratings = simulate_ratings(KNOWN, 10, 10, seed=seed)
        model = fit_mixed_model(ratings)
        for row in opinion_rows(ratings, model):
            held["means"].append(row["low"] < KNOWN[row["system"]] < row["high"])
            held["bootstrap"].append(row["bootstrap low"] < KNOWN[row["system"]] < row["bootstrap high"])
        for row in pair_rows(model):
            held["differences"].append(row["low"] < KNOWN[row["better"]] - KNOWN[row["worse"]] < row["high"])
    shares = {name: np.mean(values) for name, values in held.items()}
    assert all(0.85 < share < 0.95 for share in shares.values()), shares


def test_the_effects_that_simulated_listeners_were_given_are_found(tmp_path, stimuli):
    known = {"real": 4.4, "same": 3.4, "alike": 3.4, "worse": 2.6}
    ratings = simulate_ratings(known, 16, 40, 60, seed=3)
    assert ratings.groupby(["listener", "system"]).size().eq(15).all()
    model = fit_mixed_model(ratings)
    rows = {frozenset((row["better"], row["worse"])): row for row in pair_rows(model)}
    assert rows[frozenset(("same", "alike"))]["p, corrected"] > 0.05
    assert all(row["p, corrected"] < 0.001 for pair, row in rows.items() if pair != frozenset(("same", "alike")))
    assert model.variances["listener"] ** 0.5 == pytest.approx(0.4, abs=0.2)
    means = bootstrap_means(ratings).mean()
    assert all(abs(means[name] - value) < 0.35 for name, value in known.items())


@pytest.mark.parametrize("case", ["all alike", "a point apart", "hardly differ"])
def test_where_listeners_hardly_differ_intervals_are_still_numbers_that_hold(case):
    ratings = simulate_ratings({"a": 4.0, "b": 3.0, "c": 2.0}, 4, 8, seed=1)
    if case == "hardly differ":
        ratings["rating"] = ratings.rating.round()
    else:
        ratings["rating"] = ratings.system.map({"a": 4.0, "b": 3.0, "c": 2.0}) + (case != "all alike") * (
            ratings.listener % 2
        )
    model = fit_mixed_model(ratings)
    for row in opinion_rows(ratings, model):
        assert row["low"] <= row["mean"] <= row["high"] and np.isfinite([row["low"], row["high"]]).all()
        assert case != "a point apart" or row["high"] - row["low"] > 0.5, "of four listeners one knows little"
    assert all(np.isfinite(row["p"]) and row["p"] < 0.05 for row in pair_rows(model))


def test_agreement_is_krippendorffs():
    # the example of Krippendorff (2011), "Computing Krippendorff's alpha-reliability": interval data, alpha = 0.849
    observers = [
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    ]
    rows = [
        (who, item, "s", float(value))
        for who, line in enumerate(observers)
        for item, value in enumerate(line.split())
        if value != "."
    ]
    table = pd.DataFrame(rows, columns=["listener", "item", "system", "rating"])
    assert krippendorff_alpha(table) == pytest.approx(0.849, abs=5e-4)


def test_guessing_is_guessing():
    draw, rows = np.random.default_rng(0), []
    for system, chance in ("guessed", 0.5), ("told", 0.8):
        rows += [(who, item, system, float(draw.random() < chance)) for who in range(8) for item in range(20)]
    found = {
        row["system"]: row for row in abx_rows(pd.DataFrame(rows, columns=["listener", "item", "system", "rating"]))
    }
    assert found["guessed"]["p of guessing"] > 0.05 and found["guessed"]["low"] < 0.5 < found["guessed"]["high"]
    assert found["told"]["p of guessing"] < 1e-6 and found["told"]["low"] > 0.6


# -- machines


def sounds_of_groups(seed, groups=60, each=5, numbers=20):
    "Points of which those of one group are nearly one."
    draw = np.random.default_rng(seed)
    points = draw.normal(size=(groups, 1, numbers)).repeat(each, 1).reshape(-1, numbers)
    return points + 0.05 * draw.normal(size=points.shape), np.repeat(np.arange(groups), each)


def test_a_classifier_tells_what_differs_and_not_who_is_in_a_group():
    real, groups = sounds_of_groups(0)
    others, _ = sounds_of_groups(1)
    score, _ = real_or_made(real, others, groups, groups + 60)
    assert score.low < 0.5 < score.high, "two sets of one kind, though every sound has near relations"
    score, sure = real_or_made(real, real + 1.5 * np.eye(20)[3], groups, groups)
    assert score > 0.65 and score.low > 0.55
    assert blind_trial(sure, len(real), groups) > 0.9, "side by side it is easier"
    few = real_or_made(real, np.concatenate([others[:30] + 5, others[:30] + 5]), groups)[0]
    assert few > 0.95, "sets of unequal size count alike"
    with pytest.raises(Refused, match="fewer than 5 groups"):
        real_or_made(real, others, np.zeros(len(real)), groups)
    with pytest.raises(Refused, match="not 7 pairs"):
        blind_trial(sure, 7, groups)


def test_a_blind_trial_of_two_that_are_one_is_a_coin():
    real, groups = sounds_of_groups(0)
    _, sure = real_or_made(real, real.copy(), groups, groups)
    assert blind_trial(sure, len(real), groups) == 0.5


# -- from a terminal


def test_a_run_becomes_a_test_and_its_answers_a_report(smoke_run, tmp_path, command):
    out = tmp_path / "test"
    done = command("listen", smoke_run, "--items", 6, "--out", out)
    assert done.returncode == 0, done.stderr
    key = json.loads((out / "test.json").read_text())
    assert {REAL, ANCHOR, "smoke, reconstructed"} < set(key["systems"].values()), "and the sounds of its priors"
    assert any("prior" in name for name in key["systems"].values())
    draw = np.random.default_rng(0)
    for who in range(5):
        answers = [
            {"item": item, "system": system, "rating": int(draw.integers(1, 3)) + 3 * (name == REAL) + (name != ANCHOR)}
            for item in key["items"] for system, name in key["systems"].items() if f"{item} {system}" in key["asked"]
        ]  # fmt: skip
        answers = [answer | {"rating": min(5, answer["rating"])} for answer in answers][: 2 * key["length"]]
        keep_result(out, {"test": key["id"], "kind": "mos", "listener": f"l{who}", "consent": True, "headphones": {"right": 6, "of": 6}, "answers": answers})  # fmt: skip
    done = command("listen", "--analyse", out)
    assert done.returncode == 0 and "low anchor" in done.stdout and (out / "report.html").exists(), done.stderr
    assert json.loads((out / "metrics.json").read_text())["opinions"][0]["system"] == REAL


def test_sounds_that_a_run_has_learned_are_no_items_of_its_test(tmp_path, stimuli):
    table = pd.DataFrame(
        {
            "file": list("abcdefghij"),
            "label": "kick",
            "group": list("abcdefghij"),
            "content": list("ABCDEFGHIJ"),
            "split": "test",
        }
    )
    model = ModelUnderTest("m", None, {}, FakeStore(table), frozenset("ABC"))
    assert set(common_items([model], 10, 0).table.content) == set("DEFGHIJ")
    with pytest.raises(Refused, match="only 0 sounds"):
        common_items([model, ModelUnderTest("n", None, {}, None, frozenset("DEFGHIJ"))], 10, 0)


def test_an_instrument_knows_its_training_sounds_by_their_vectors(smoke_run):
    run, model = open_run(smoke_run), SampleVAE.from_pretrained(smoke_run / "vae")
    store = prepare_store(run)
    train, held = store.split("train"), store.split("test")
    vectors = encode_posteriors(model, train).points().numpy()
    assert find_learned(model, vectors, train.with_table(train.table.iloc[::7])).all()
    assert not find_learned(model, vectors, held).any()


@pytest.mark.parametrize("listeners", [3, 5])
def test_few_listeners_have_few_degrees_of_freedom_also_where_they_hardly_differ(listeners):
    for seed in range(6):
        alike = Variation(listener=0.0, item=0.0, listener_by_system=0.0, item_by_system=0.0, rest=0.5)
        ratings = simulate_ratings({"a": 4.0, "b": 3.0}, listeners, 6, seed=seed, variation=alike)
        model = fit_mixed_model(ratings)
        freedom = model.estimate(np.array([1.0, -1.0]))[2]
        assert 1 <= freedom <= (12 * listeners if model.converged else listeners - 1)
    stuck = replace(model, converged=False, variances=dict.fromkeys(model.variances, np.nan))
    assert stuck.estimate(np.array([1.0, -1.0]))[2] == listeners - 1


def test_a_model_that_found_nothing_says_so_and_invents_no_agreement():
    ratings = simulate_ratings({REAL: 5.0, "b": 3.0, ANCHOR: 1.0}, 4, 6, seed=0, variation=Variation(0, 0, 0, 0, 0))
    tables, how = rating_tables(ratings, "mos")
    assert "DID NOT CONVERGE" in how and tables["agreement"][0]["std, listener"] == "not known"
    assert {row["p"] for row in tables["differences"]} == {"< 0.001"}
    assert all(1 <= row["low"] <= row["high"] <= 5 for row in tables["opinions"])


def test_a_draw_without_a_system_is_no_mean_of_nothing():
    ratings = simulate_ratings({"a": 4.0, "b": 3.0}, 3, 3, seed=0)
    ratings = ratings[(ratings.system == "a") | (ratings.listener == 0)]
    assert bootstrap_means(ratings)["b"].min() > 1


def test_what_cannot_be_a_test_is_refused_in_a_line(smoke_run, tmp_path, command, stimuli):
    file = tmp_path / "test.yaml"
    for arguments, text in [
        ([], "samplevae listen one-shots"), (["one-shots", "--items", 8], "--data FOLDER"), ([tmp_path], "neither a finished run"),
        ([smoke_run, "--kind", "mosh"], "did you mean"), ([smoke_run, "--items", 1], "4 to 400"), ([smoke_run, smoke_run], "one name"),
        (["--analyse", tmp_path], "no test.json"), ([tmp_path / "none.yaml"], "cannot read"),
    ]:  # fmt: skip
        done = command("listen", *arguments, *([] if "--analyse" in arguments else ["--out", tmp_path / "out"]))
        assert done.returncode == 2 and text in done.stderr and done.stderr.count("\n") == 1, (arguments, done.stderr)
    for content, text in (
        ("runs: [a]\nitem: 3", "did you mean"),
        ("runs: a", "needs 'runs'"),
        ("runs: [a]\nitems: many", "cannot be"),
    ):
        file.write_text(content)
        with pytest.raises(Refused, match=text):
            read_listening(file)
    with pytest.raises(Refused, match="one rate and length"):
        open_systems([smoke_run, "one-shots"], "", tmp_path)
    with pytest.raises(Refused, match="at least 4"):
        make_test("mos", stimuli[:3], RATE)
    with pytest.raises(Refused, match="4 to 400"):
        listening_test([smoke_run], items=0)
