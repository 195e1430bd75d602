"Sounds from real files: every format, every fault, every layout that we claim to read."

import json
import multiprocessing
import os
import shutil
import signal
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep

import mido
import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
import torch

from samplevae import duplicates, parallel
from samplevae.audio import BadAudio, align_and_trim, read_clip, remove_dc_offset
from samplevae.augmentation import augment_batch
from samplevae.config import Config
from samplevae.dataset import empty_above, prepare_store, provenance, provenance_warnings, sound_sets
from samplevae.duplicates import (
    band_features,
    find_near_duplicates,
    linear_band_edges,
    log_band_edges,
    max_cross_correlation,
    split_of_group,
)
from samplevae.experiments import check_request
from samplevae.factors import draw
from samplevae.parallel import chunks, map_in_threads
from samplevae.reconstruction import onset_time
from samplevae.runs import Run
from samplevae.scores import maestro_source, read_midi, score_source
from samplevae.settings import Refused
from samplevae.sources import folder_source, keep_labels, nsynth_source, synthesis_source
from samplevae.store import ClipsFile, Store
from samplevae.synthesis import synthesise

RATE = 44_100
SHARED = Path(__file__).resolve().parents[2] / "shared/data"
FORMATS = [
    ("wav", "WAV", "PCM_U8"),
    ("wav", "WAV", "PCM_16"),
    ("wav", "WAV", "PCM_24"),
    ("wav", "WAV", "PCM_32"),
    ("wav", "WAV", "FLOAT"),
    ("flac", "FLAC", "PCM_24"),
    ("ogg", "OGG", "VORBIS"),
    ("opus", "OGG", "OPUS"),
    ("mp3", "MP3", "MPEG_LAYER_III"),
    ("aiff", "AIFF", "PCM_16"),
]


@pytest.fixture(scope="module")
def drums():
    "Twelve drums of 0.4 s at 48 kHz, (12, T)."
    return synthesise(draw(torch.arange(12), 3), 48_000, 0.4).numpy()


@pytest.mark.parametrize(("ending", "container", "coding"), FORMATS, ids=lambda value: value)
@pytest.mark.parametrize("channels", [1, 2])
def test_all_formats_give_nearly_the_same_clip(ending, container, coding, channels, drums, tmp_path):
    soundfile.write(tmp_path / f"a.{ending}", np.stack([drums[0]] * channels, 1), 48_000, coding, format=container)
    got = Store.prepare(folder_source(tmp_path), tmp_path / "store", 22_050, 0.4).sounds()[0].numpy()
    soundfile.write(tmp_path / "b.wav", drums[0], 48_000, "FLOAT")
    (tmp_path / f"a.{ending}").unlink()
    expected = Store.prepare(folder_source(tmp_path), tmp_path / "store", 22_050, 0.4).sounds()[0].numpy()
    clips = (np.stack([got, expected]) * 32767).astype("i2")
    assert max_cross_correlation(clips, [0], [1]) > (0.9 if coding in ("VORBIS", "OPUS", "MPEG_LAYER_III") else 0.99)


def cut_in_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_every_fault_is_turned_away_with_its_reason_and_the_rest_goes_on(drums, tmp_path):
    root = tmp_path / "sounds"
    root.mkdir()
    for number, drum in enumerate(drums):
        soundfile.write(root / f"good {number} 音 🥁.wav", drum, 48_000)
    soundfile.write(root / "new\nline.wav", drums[0] * 0.5 + 0.001 * drums[1], 48_000)
    (root / "empty.wav").touch()
    for name in "half.wav", "half.flac", "half.mp3", "half.aiff", "half.ogg":
        soundfile.write(root / name, drums[2], 48_000)
        cut_in_half(root / name)
        soundfile.write(root / f"long {name}", np.tile(drums[2], 15), 48_000)  # far longer than what is read of it
        cut_in_half(root / f"long {name}")
    soundfile.write(tmp_path / "x.flac", drums[3], 48_000)
    (tmp_path / "x.flac").rename(root / "really a flac.wav")
    (root / "text.wav").write_text("Dear diary, " * 100)
    for name, value in ("nan", np.nan), ("infinite", np.inf):
        broken = drums[4].copy()
        broken[1000] = value
        soundfile.write(root / f"{name}.wav", broken, 48_000, "FLOAT")
    soundfile.write(root / "silent.wav", np.zeros(48_000), 48_000)
    soundfile.write(root / "short.wav", drums[5][:200], 48_000)
    soundfile.write(root / "slow.wav", drums[5], 1)
    soundfile.write(root / "constant.wav", np.full(48_000, 0.9), 48_000)
    soundfile.write(tmp_path / "x.wav", drums[7][::-1], 48_000)
    os.rename(tmp_path / "x.wav", os.fsencode(root) + b"/good bytes \xff.wav")
    (root / "dangling.wav").symlink_to("nowhere.wav")
    (root / "loop.wav").symlink_to("loop.wav")
    (root / "around").symlink_to(root)
    (root / "folder.wav").mkdir()
    secret = root / "secret.wav"
    soundfile.write(secret, drums[6], 48_000)
    secret.chmod(0)
    with pytest.warns(UserWarning, match="only 1[45] of 36 sounds could be used"):
        report = Store.prepare(folder_source(root), tmp_path / "store", RATE, 0.5).report
    why = {name.replace("\n", " "): reason for name, reason in report["files_turned_away"]}
    expected = {
        "empty.wav": "empty file",
        "half.wav": "cut short",
        "half.aiff": "cut short",
        "half.mp3": "cut short",
        "half.flac": "not a sound, or damaged",
        "half.ogg": "not a sound, or damaged",
        "long half.wav": "cut short",
        "long half.aiff": "cut short",
        "long half.mp3": "cut short",
        "long half.flac": "not a sound, or damaged",
        "long half.ogg": "cut short",
        "text.wav": "not a sound, or damaged",
        "nan.wav": "holds NaN, infinite or absurdly large samples",
        "infinite.wav": "holds NaN, infinite or absurdly large samples",
        "silent.wav": "silent",
        "short.wav": "shorter than 5 ms",
        "slow.wav": "fewer than 1000 samples a second",
        "constant.wav": "silent",
        "dangling.wav": "link to nothing",
    }
    assert expected.items() <= why.items()
    assert "loop.wav" in why
    assert not [name for name in why if name.startswith("good") and "equal" not in why[name]]
    assert (
        report["taken"] + report["turned_away"] == report["found"] == sum(report["reasons"].values()) + report["taken"]
    )


def test_many_that_are_alike_are_compared_with_few(tmp_path):
    torch.manual_seed(0)
    tone = 0.5 * torch.sin(torch.arange(8000) * 0.05)
    for number in range(400):
        noisy = tone + 0.001 * torch.randn(8000)
        soundfile.write(tmp_path / f"{number}.wav", noisy.numpy(), 16_000, "FLOAT")
    asked, spectra = [], duplicates.padded_spectra
    with pytest.MonkeyPatch.context() as patch, pytest.warns(UserWarning, match="nearly equal to one in"):
        patch.setattr(duplicates, "padded_spectra", lambda clips: asked.append(len(clips)) or spectra(clips))
        store = Store.prepare(folder_source(tmp_path), tmp_path / "store", 16_000, 0.5)
    assert sum(asked) < 4 * 400, "each is compared with one, not with all"
    assert {*store.table.split} == {"test"}


@contextmanager
def nobody():
    "Who is root may read everything, and is somebody else for a while."
    root = os.geteuid() == 0
    os.seteuid(65_534) if root else None
    try:
        yield
    finally:
        os.seteuid(0) if root else None


def test_a_file_that_may_not_be_read_is_turned_away(drums):
    with TemporaryDirectory() as place:  # not tmp_path, which nobody may enter
        Path(place).chmod(0o755)
        for name in "open.wav", "secret.wav":
            soundfile.write(f"{place}/{name}", drums[0], 48_000)
        folder_source(place).fetch([0], RATE, 0.5)  # imports what nobody might not be allowed to
        Path(place, "secret.wav").chmod(0)
        Path(place, "shut").mkdir(0)
        with nobody():
            good, bad, shut = folder_source(place).fetch([0, 1, 2], RATE, 0.5)
            with pytest.raises(Refused, match="no permission to open"):
                folder_source(f"{place}/shut")
    assert len(good.wave) == RATE // 2 and str(bad) == "no permission to read"
    assert str(shut) == "a folder, and no permission to open it"


def test_no_store_takes_the_place_of_anything_else(drums, tmp_path):
    (tmp_path / "sounds").mkdir()
    for number, drum in enumerate(drums):
        soundfile.write(tmp_path / f"sounds/{number}.wav", drum, 48_000)
    for place in tmp_path / "sounds", tmp_path, tmp_path / "sounds/0.wav":
        with pytest.raises(Refused, match="give the store a folder of its own|is a file"):
            Store.prepare(folder_source(tmp_path / "sounds"), place, RATE, 0.4)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for _ in range(2):
        assert len(Store.prepare(folder_source(tmp_path / "sounds"), tmp_path / "link", RATE, 0.4)) > 5
    assert (tmp_path / "link").is_symlink() and len(list((tmp_path / "sounds").iterdir())) == 12


def test_compressed_sounds_are_whole_wherever_they_are_left(tmp_path):
    generator = np.random.default_rng(0)
    for number in range(60):
        noise = generator.normal(0, 0.1, generator.integers(3000, 60_000))
        ending, rate = ((".ogg", 22_050), (".mp3", RATE), (".flac", RATE))[number % 3]
        soundfile.write(tmp_path / f"{number}{ending}", noise, rate)
    for seconds in 0.05, 0.25, 1.0:
        assert len(Store.prepare(folder_source(tmp_path), tmp_path / f"stores/{seconds}", RATE, seconds)) == 60
        shutil.rmtree(tmp_path / "stores")


def test_a_whistle_that_the_rate_cannot_hold_is_silent(tmp_path):
    whistle = 0.3 * np.sin(2 * np.pi * 15_000 * np.arange(RATE) / RATE) * np.hanning(RATE)
    soundfile.write(tmp_path / "whistle.wav", whistle, RATE)
    assert read_clip(tmp_path / "whistle.wav", RATE, 1.0).level > -12
    with pytest.raises(BadAudio, match="silent at 4000 Hz"):
        read_clip(tmp_path / "whistle.wav", 4000, 1.0)


def test_a_bound_is_a_bound_at_the_highest_frequency_too():
    tone = np.sin(2 * np.pi * 80 * np.arange(11_025) / RATE) * np.exp(-np.arange(11_025) / 4000)
    whistle = (-1.0) ** np.arange(11_025) * np.hanning(11_025)
    clips = np.array([(tone + share * whistle) * 20_000 for share in (0, 0.1, 0.2, 0.3)]).astype("<i2")
    for layout in log_band_edges, linear_band_edges:
        bound = band_features(clips, layout) @ band_features(clips, layout).T
        i, j = np.indices((4, 4)).reshape(2, -1)
        assert (max_cross_correlation(clips, i, j) <= bound[i, j] + 1e-4).all()


def test_damaged_and_odd_scores_are_turned_away(tmp_path):
    for name, kind, message in [
        ("keys", 1, mido.MetaMessage("key_signature", key="C")),
        ("apart", 2, mido.Message("note_on", note=60, time=10)),
    ]:
        mido.MidiFile(type=kind, tracks=[mido.MidiTrack([message])] * 2).save(tmp_path / f"{name}.mid")
    keys = (tmp_path / "keys.mid").read_bytes()
    (tmp_path / "keys.mid").write_bytes(keys.replace(b"\xff\x59\x02\x00", b"\xff\x59\x02\x09"))
    for name in "keys", "apart":
        with pytest.raises(BadAudio, match="not a MIDI file, or damaged"):
            read_midi(tmp_path / f"{name}.mid")


@pytest.mark.parametrize("header", ["file,Label,Group", " file, label ,group"])
def test_a_table_is_understood_as_a_spreadsheet_writes_it(header, drums, tmp_path):
    for name in "a.wav", "b.wav":
        soundfile.write(tmp_path / name, drums[0], 48_000)
    (tmp_path / "clips.csv").write_text(f"{header}\na.wav, kick,1\n,,\nb.wav,kick,1\n")
    assert folder_source(tmp_path).table[["label", "group"]].to_numpy().tolist() == [["kick", "1"]] * 2


def test_nothing_usable_says_what_was_found(tmp_path):
    for number in range(4):
        (tmp_path / f"{number}.wav").write_text("no sound")
    (tmp_path / "4.flac").touch()
    with pytest.raises(Refused, match="none of the 5 files .* 4 not a sound, or damaged, 1 empty file"):
        Store.prepare(folder_source(tmp_path), tmp_path / "store")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("file,label\na.wav,kick\na.wav,snare\n", "different things of: a.wav"),
        ("file,label\na.wav,kick\nb.wav,snare\nc.wav,hat\n", "not there: b.wav, c.wav"),
        ("name,label\na.wav,kick\n", "no column 'file'"),
        ("file,label\na.wav,kick\n,snare\n", "names no file in line: 3"),
        ("", "cannot read"),
    ],
)
def test_a_table_that_cannot_be_right_is_refused(table, says, drums, tmp_path):
    soundfile.write(tmp_path / "a.wav", drums[0], 48_000)
    (tmp_path / "clips.csv").write_text(table)
    with pytest.raises(Refused, match=says):
        folder_source(tmp_path)


def test_labels_and_groups_come_from_a_table_or_from_folders(drums, tmp_path):
    for name in "a/1.wav", "a/2.wav", "b/3.wav":
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, drums[int(name[2])], 48_000)
    assert list(folder_source(tmp_path).table.label) == ["a", "a", "b"]
    assert list(folder_source(tmp_path, labels=None).table.label) == ["", "", ""]
    (tmp_path / "clips.csv").write_text("file,label,group,seconds\na/1.wav,kick,x,9\na/2.wav,NA,x,9\n")
    table = folder_source(tmp_path).table
    assert list(table.label) == ["kick", "NA", ""] and list(table.group) == ["x", "x", "b/3.wav"]
    assert Store.prepare(folder_source(tmp_path), tmp_path / "store", RATE, 0.2).table.seconds.max() < 1


def test_the_sounds_of_some_labels_are_learned_alone(drums, tmp_path):
    for number, label in enumerate("abcab"):
        (tmp_path / label).mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"{label}/{number}.wav", drums[number], 48_000)
    source = keep_labels(folder_source(tmp_path), "a, c")
    assert list(source.table.file) == ["a/0.wav", "a/3.wav", "c/2.wav"]
    store = Store.prepare(source, tmp_path / "store", RATE, 0.2)
    whole = Store.prepare(folder_source(tmp_path), tmp_path / "whole", RATE, 0.2)
    same = whole.with_table(whole.table[whole.table.label.isin(["a", "c"])])
    assert np.array_equal(store.sounds(), same.sounds()) and list(store.table.file) == list(same.table.file)
    with pytest.raises(Refused, match="has the label 'd'"):
        keep_labels(folder_source(tmp_path), "a, d")
    given = Config.preset("smoke", data=str(tmp_path / "store"), sample_rate=RATE, seconds=0.2, labels="a")
    with pytest.raises(Refused, match="is a store: which labels it holds"):
        prepare_store(Run(tmp_path / "run", given))


def test_recorded_and_synthesised_sounds_begin_alike(tmp_path):
    made = synthesise(draw(torch.arange(40), 3, ("rimshot", "closed hat")), RATE, 0.3).numpy()
    for number, wave in enumerate(made):
        soundfile.write(tmp_path / f"{number}.wav", np.pad(wave, (999 + number, 0)), RATE)
    drawn = Store.prepare(synthesis_source(40, 3, ("rimshot", "closed hat")), tmp_path / "drawn", RATE, 0.3)
    recorded = Store.prepare(folder_source(tmp_path), tmp_path / "recorded", RATE, 0.3)
    onsets = [1e3 * onset_time(store.sounds(), RATE) for store in (drawn, recorded)]
    assert all(3 <= times.min() and times.max() < 5 for times in onsets)
    assert abs(onsets[0].median() - onsets[1].median()) < 0.5


def test_copies_go_and_near_duplicates_stay_on_one_side(drums, tmp_path):
    held_out = next(f"{n}.wav" for n in range(1000) if split_of_group(f"{n}.wav") == "test")
    trained = next(f"{n}.wav" for n in range(1000) if split_of_group(f"{n}.wav") == "train")
    soundfile.write(tmp_path / held_out, drums[0], 48_000)
    quieter = drums[0] * 0.7 + 0.01 * drums[1]
    soundfile.write(tmp_path / trained, quieter, 48_000)
    for number, drum in enumerate(drums[2:]):
        soundfile.write(tmp_path / f"other{number}.wav", drum, 48_000)
    (tmp_path / "other0 again.wav").write_bytes((tmp_path / "other0.wav").read_bytes())
    store = Store.prepare(folder_source(tmp_path), tmp_path / "store", RATE, 0.4)
    assert dict(store.report["files_turned_away"])[trained] == "nearly equal to one in test"
    assert store.report["reasons"]["a copy of another"] == 1 and held_out in set(store.table.file)


def test_adding_sounds_moves_no_old_one(drums, tmp_path):
    for number, drum in enumerate(drums):
        soundfile.write(tmp_path / f"{number}.wav", drum, 48_000)
    before = Store.prepare(folder_source(tmp_path), tmp_path / "store", RATE, 0.4).table.set_index("file").split
    more = synthesise(draw(torch.arange(12), 77), 48_000, 0.4).numpy()
    for number, drum in enumerate(more):
        soundfile.write(tmp_path / f"new {number}.wav", drum, 48_000)
    after = Store.prepare(folder_source(tmp_path), tmp_path / "store", RATE, 0.4).table.set_index("file").split
    common = before.index.intersection(after.index)
    assert len(common) >= 10 and (before[common] == after[common]).all()


def test_of_copies_the_one_that_is_held_out_stays(tmp_path):
    names = {split_of_group(f"{number}.wav"): f"{number}.wav" for number in range(99, -1, -1)}
    wave = np.random.default_rng(0).normal(0, 0.1, 4000)
    for name in names.values():
        soundfile.write(tmp_path / name, wave, 16_000)
    assert names["train"] < names["test"], "the one that comes first is not the one that stays"
    with pytest.warns(UserWarning, match="a copy of another"):
        store = Store.prepare(folder_source(tmp_path), tmp_path / "store", 16_000, 0.25)
    assert [*store.table.split] == ["test"] and store.report["reasons"] == {"a copy of another": 2}


def test_of_copies_on_one_side_the_one_with_a_label_stays(drums, tmp_path):
    (tmp_path / "kick").mkdir()
    for name in "a.wav", "kick/b.wav", "other.wav":
        soundfile.write(tmp_path / name, drums[int(name == "other.wav")], 48_000)
    source = folder_source(tmp_path)
    store = Store.prepare(replace(source, table=source.table.assign(group="one")), tmp_path / "store", RATE, 0.4)
    assert store.report["kept_instead"] == {"a.wav": "kick/b.wav"} and sorted(store.table.label) == ["", "kick"]


def test_a_store_that_was_being_replaced_comes_back(many, tmp_path):
    whole = Store.prepare(many, tmp_path / "store", 16_000, 0.1)
    (tmp_path / "store").rename(tmp_path / ".store.old")  # as far as somebody came who was killed
    with pytest.raises(KeyError):
        Store.prepare(replace(many, fetch=lambda rows, *form: {}[0]), tmp_path / "store", 16_000, 0.1)
    assert len(Store.open(tmp_path / "store")) == len(whole)


def test_a_full_disk_leaves_the_old_store(drums, tmp_path, monkeypatch):
    for number, drum in enumerate(drums):
        soundfile.write(tmp_path / f"{number}.wav", drum, 48_000)
    Store.prepare(folder_source(tmp_path), tmp_path / "store", RATE, 0.4)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(Refused, match="No space left on device"):
        Store.prepare(folder_source(tmp_path), tmp_path / "store", RATE, 0.4)
    assert len(Store.open(tmp_path / "store")) >= 10
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Disk", (), {"free": 1000}))
    with pytest.raises(Refused, match="MB are needed"):
        Store.prepare(folder_source(tmp_path), tmp_path / "store", RATE, 0.4)
    assert len(Store.open(tmp_path / "store")) >= 10


@pytest.fixture
def many(tmp_path):
    "A folder of a hundred short sounds and, among them, four that are none."
    (tmp_path / "many").mkdir()
    for number, wave in enumerate(synthesise(draw(torch.arange(100), 8), 16_000, 0.1).numpy()):
        soundfile.write(tmp_path / f"many/{number:03}.wav", wave, 16_000)
    for number in (0, 17, 18, 99):
        (tmp_path / f"many/{number:03}.wav").write_text("no sound")
    return folder_source(tmp_path / "many")


def test_threads_and_processes_make_the_same_store(many, tmp_path, monkeypatch):
    first = Store.prepare(many, tmp_path / "forks", 16_000, 0.1)
    monkeypatch.setattr(parallel, "map_in_forks", map_in_threads)
    second = Store.prepare(many, tmp_path / "threads", 16_000, 0.1)
    assert first.clips.tobytes() == second.clips.tobytes() and first.report == second.report
    pd.testing.assert_frame_equal(first.table, second.table)
    rows = first.table.row.tolist()
    assert rows == sorted(rows) and not {0, 17, 18, 99} & {*rows} and len(first.clips) == 96
    for index in (0, 40, len(first) - 1):
        alone = read_clip(tmp_path / "many" / first.table.file.iloc[index], 16_000, 0.1).wave
        assert np.abs(first.sounds([index])[0].numpy() - alone).max() < 1e-4


def test_a_fork_that_is_killed_or_fails_says_why(many, tmp_path):
    def dies(rows, *form):
        os.kill(os.getpid(), signal.SIGKILL) if 24 in rows else None
        return many.fetch(rows, *form)

    def fails(rows, *form):
        return {}[rows[0]] if 24 in rows else many.fetch(rows, *form)

    store = Store.prepare(many, tmp_path / "store", 16_000, 0.1)
    with pytest.raises(Refused, match="was killed; that happens where memory runs out"):
        Store.prepare(replace(many, fetch=dies), tmp_path / "store", 16_000, 0.1)
    with pytest.raises(KeyError) as caught:
        Store.prepare(replace(many, fetch=fails), tmp_path / "store", 16_000, 0.1)
    assert "in fails" in str(caught.value.__cause__), "where it happened"
    assert len(Store.open(tmp_path / "store")) == len(store) and not multiprocessing.active_children()


def test_forks_do_not_outlive_their_parent(many, tmp_path):
    def slow(rows, *form):  # and so many that a pipe does not hold them
        (tmp_path / f"{os.getpid()}.fork").touch()
        sleep(0.02)
        return many.fetch([row % 100 for row in rows], *form)

    def there(pid):
        return Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"

    slow_one = replace(many, table=pd.concat([many.table] * 40, ignore_index=True), fetch=slow)
    process = multiprocessing.get_context("fork").Process(target=Store.prepare, args=(slow_one, tmp_path / "store"))
    process.start()
    while process.is_alive() and not [*tmp_path.glob("*.fork")]:
        sleep(0.01)
    process.kill(), process.join()
    forks = [int(file.stem) for file in tmp_path.glob("*.fork")]
    for _ in range(1000):
        if not any(map(there, forks)):
            break
        sleep(0.01)
    assert forks and not any(map(there, forks)) and not (tmp_path / "store").exists()
    assert len(Store.prepare(many, tmp_path / "store", 16_000, 0.1)) > 80


def test_rows_close_up_on_a_disk_that_takes_little_at_a_time(tmp_path, monkeypatch):
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, place: write(file, data[:1000], place))
    waves = np.random.default_rng(0).integers(-9999, 9999, (6, 3000), dtype=np.int16)
    clips = ClipsFile(tmp_path / "clips.npy", 6, 3000)
    for row in (5, 1, 4, 2):
        clips.put(row, waves[row])
    clips.close([1, 2, 4, 5])
    assert (np.load(tmp_path / "clips.npy") == waves[[1, 2, 4, 5]]).all()


@pytest.mark.parametrize("seconds", [0.001, 1.0, 5.0])
def test_an_offset_is_removed_by_the_filter_that_the_chapter_names(seconds):
    from scipy.signal import lfilter

    x = np.random.default_rng(0).normal(0.3, 0.1, round(seconds * RATE)).astype(np.float32)
    expected, _ = lfilter([1, -1], [1, -np.exp(-2 * np.pi * 3 / RATE)], x.astype(float), zi=[-0.3])
    assert np.abs(remove_dc_offset(x, RATE, 0.3) - expected).max() < 1e-6


@pytest.mark.parametrize("gap", [0, 0.001, 0.002, 0.004, 0.008, 0.03, 0.3])
@pytest.mark.parametrize("offset", [0, 0.1])
def test_every_clip_begins_as_long_before_its_onset(gap, offset, drums):
    silence = np.zeros(round(gap * 48_000))
    for drum in drums[:8]:
        clip = align_and_trim(np.float32(np.concatenate([silence, drum]) + offset)[:, None], 48_000, RATE, 0.3)
        alone = align_and_trim(np.float32(drum)[:, None], 48_000, RATE, 0.3)
        begin = round(0.003 * RATE)
        assert abs(clip.onset - gap - alone.onset) < 0.002 and np.abs(clip.wave[: begin - 50]).max() < 0.05
        assert np.abs(clip.wave[begin - 5 :][: round(0.005 * RATE)]).max() > 0.05


def test_no_clip_ends_with_a_click():
    tone = 0.5 * np.sin(np.arange(2 * RATE) * 0.1).astype(np.float32)[:, None]
    for length in 300, 441, 2000, round(0.997 * RATE), RATE - 1, RATE, RATE + 1, 2 * RATE:
        wave = align_and_trim(tone[:length], RATE, RATE, 1.0).wave
        end = np.flatnonzero(wave)[-1]
        assert np.abs(wave[end]) < 0.02 and np.abs(np.diff(wave)[-200:]).max() < 0.11
        assert np.abs(wave[132 : 132 + min(100, length // 2)]).max() > 0.9, "and its beginning is whole"


@pytest.mark.parametrize("seconds", [0.6, 1.0, 1.5])
def test_hiss_before_a_sound_is_no_sound(seconds, tmp_path):
    hiss = 0.005 * np.random.default_rng(0).standard_normal(3 * RATE)
    hiss[round(1.5 * RATE) :] += 0.9 * np.sin(np.arange(round(1.5 * RATE)) * 0.05)
    soundfile.write(tmp_path / "late.wav", hiss, RATE)
    assert abs(read_clip(tmp_path / "late.wav", RATE, seconds).onset - 1.5) < 0.002


@pytest.mark.parametrize("kind", ["open hat", "kick", "closed hat", "tom"])
def test_no_near_duplicate_is_missed(kind):
    sounds = synthesise(draw(torch.arange(80), 3, (kind,)), RATE, 0.3)
    softer = 0.5 * sounds[:20].roll(30, 1) + 0.02 * sounds[20:40]
    clips = (torch.cat([sounds, softer, torch.zeros(1, sounds.shape[1])]) * 32767).short().numpy()
    pairs = [(i, j) for i in range(60) for j in range(60, 101)]
    alike = max_cross_correlation(clips, *zip(*pairs, strict=True)) > 0.95
    expected = {j for (i, j), yes in zip(pairs, alike, strict=True) if yes}
    found = find_near_duplicates(clips, band_features(clips, log_band_edges), np.arange(60), np.arange(60, 101))
    assert found.keys() == expected >= set(range(80, 100)) and all((i, j) in pairs for j, i in found.items())


def test_near_duplicates_among_synthesised_sounds_go_or_are_counted(tmp_path, monkeypatch):
    source = synthesis_source(300, 1, ("kick",))
    store, whole = (
        Store.prepare(source, tmp_path / str(drop), RATE, 0.2, drop_near_duplicates=drop) for drop in (True, False)
    )

    def with_duplicates(store, side, *held):
        these, those = (store.split(*sides).table.index for sides in ((side,), held))
        return sum((max_cross_correlation(store.clips, np.full(len(those), i), those) > 0.95).any() for i in these)

    counts = with_duplicates(whole, "train", "valid", "test"), with_duplicates(whole, "valid", "test")
    assert min(counts) > 0 and sum(counts) == sum(whole.report["near_duplicates_kept"].values())
    assert with_duplicates(store, "train", "valid", "test") == with_duplicates(store, "valid", "test") == 0
    assert len(whole) == 300 and not whole.report["reasons"] and not store.report["near_duplicates_kept"]
    assert len(store) == 300 - sum(store.report["reasons"].values()) and "kept, though" in whole.summary
    assert Config().drops_near_duplicates and Config.preset("gpu", data=str(tmp_path)).drops_near_duplicates
    assert not Config.preset("gpu").drops_near_duplicates
    assert Config.preset("gpu", near_duplicates="drop").drops_near_duplicates
    monkeypatch.setenv("SAMPLEVAE_CACHE", str(tmp_path / "cache"))
    kept = Config.preset("smoke", kinds="kick", near_duplicates="keep")
    assert len(prepare_store(Run.create(tmp_path / "run", kept))) == 96


def test_a_search_in_portions_finds_the_same(tmp_path, monkeypatch):
    source = synthesis_source(400, 2, ("kick", "bass"))
    whole = Store.prepare(source, tmp_path / "whole", 16_000, 0.2)
    monkeypatch.setattr(duplicates, "chunks", lambda n, size=16: chunks(n, 11 if size == 4000 else size))
    parts = Store.prepare(source, tmp_path / "parts", 16_000, 0.2)
    assert whole.report["reasons"] == parts.report["reasons"] and len(whole) < 400
    pd.testing.assert_frame_equal(whole.table, parts.table)


def test_a_store_made_by_hand_is_what_a_run_takes(many, tmp_path):
    store = Store.prepare(many, tmp_path / "store", 16_000, 0.1)
    config = Config.preset("smoke", data=str(tmp_path / "store"), sample_rate=16_000, seconds=0.1)
    assert prepare_store(Run.create(tmp_path / "run", config)).clips.tobytes() == store.clips.tobytes()
    check_request(tmp_path / "run", config)  # what the command line does first
    with pytest.raises(Refused, match="what became of near duplicates was decided when it was made"):
        check_request(tmp_path / "run", replace(config, near_duplicates="keep"))
    with pytest.raises(Refused, match="a store of 0.1 s at 16000 Hz, not .* --set seconds=0.1 --set sample_rate=16000"):
        prepare_store(Run.create(tmp_path / "other", Config.preset("smoke", data=str(tmp_path / "store"))))


def test_nsynth_as_it_is_published(drums, tmp_path):
    audio = tmp_path / "nsynth-valid/audio"
    audio.mkdir(parents=True)
    notes = {}
    for number, drum in enumerate(drums[:4]):
        name = f"bass_synthetic_{number // 2:03}-0{30 + number}-100"
        soundfile.write(audio / f"{name}.wav", drum, 16_000)
        row = {"instrument_family_str": "bass", "instrument_str": name.split("-")[0], "pitch": 30 + number}
        notes[name] = row | {"velocity": 100, "qualities_str": []}
    (audio.parent / "examples.json").write_text(json.dumps(notes))
    store = Store.prepare(nsynth_source(tmp_path), tmp_path / "store", 16_000, 0.5)
    assert set(store.table.label) == {"bass"} and store.table.group.nunique() == 2
    assert sorted(store.table.midi_pitch) == [30, 31, 32, 33]
    with pytest.raises(Refused, match="no examples.json"):
        nsynth_source(audio)


def write_score(path, starts=(0.5, 1.5, 1.55, 3.0), pitches=(60, 64, 67, 72)):
    "A MIDI file with notes of 0.4 s."
    events = [(t, "note_on", p) for t, p in zip(starts, pitches, strict=True)]
    events = sorted(events + [(t + 0.4, "note_off", p) for t, _, p in events])
    track, now = mido.MidiTrack(), 0.0
    for time, kind, pitch in events:
        track.append(mido.Message(kind, note=pitch, velocity=90, time=round((time - now) * 960)))
        now = time
    score = mido.MidiFile(ticks_per_beat=480)
    score.tracks.append(track)
    score.save(path)


def test_maestro_as_it_is_published(tmp_path):
    (tmp_path / "2018").mkdir()
    rows = []
    for number, composer in enumerate(["Frédéric Chopin", "Frédéric Chopin", "Claude Debussy"]):
        sound = 0.001 * np.random.default_rng(number).normal(size=4 * RATE)
        for start in 0.5, 1.5, 3.0:
            at = round(start * RATE)
            sound[at : at + 20_000] += (
                0.5 * np.sin(np.arange(20_000) * 0.05 * (number + 1)) * np.exp(-np.arange(20_000) / 4000)
            )
        soundfile.write(tmp_path / f"2018/{number}.wav", sound, RATE)
        write_score(tmp_path / f"2018/{number}.midi")
        row = {"canonical_composer": composer, "canonical_title": f"Étude {number}", "split": "train", "year": 2018}
        rows.append(
            row | {"midi_filename": f"2018/{number}.midi", "audio_filename": f"2018/{number}.wav", "duration": 4.0}
        )
    pd.DataFrame(rows).to_csv(tmp_path / "maestro-v3.0.0.csv", index=False)
    source = maestro_source(tmp_path, "chopin")
    assert [round(start, 2) for start in source.table.start] == [0.5, 1.5, 3.0] * 2
    assert set(source.table.group) == {"Étude 0", "Étude 1"}
    store = Store.prepare(source, tmp_path / "store", 22_050, 1.0)
    assert store.report["found"] == 6 and store.report["taken"] + store.report["turned_away"] == 6
    first = store.sounds().abs()[:, : round(0.01 * 22_050)].amax(1)
    assert (first > 0.3).all(), "every clip begins with its attack"
    with pytest.raises(Refused, match="did you mean 'Claude Debussy'"):
        maestro_source(tmp_path, "Debussi")
    (tmp_path / "2018/0.midi").write_bytes((tmp_path / "2018/0.midi").read_bytes()[:40])
    report = Store.prepare(maestro_source(tmp_path, "chopin"), tmp_path / "store", 22_050, 1.0).report
    assert report["found"] == 4 and ["2018/0.wav", "not a MIDI file, or damaged"] in report["files_turned_away"]


def test_transcriptions_are_played_on_recorded_notes(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "scores").mkdir()
    for pitch in 60, 69, 72:
        hertz = 440 * 2 ** ((pitch - 69) / 12)
        note = np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE) * np.exp(-np.arange(RATE) / 8000)
        soundfile.write(tmp_path / f"notes/{pitch}.wav", 0.9 * note, RATE)
    table = "file,label,midi_pitch\n" + "".join(f"{pitch}.wav,piano,{pitch}\n" for pitch in (60, 69, 72))
    (tmp_path / "notes/clips.csv").write_text(table)
    notes = Store.prepare(folder_source(tmp_path / "notes"), tmp_path / "store of notes", RATE, 1.0)
    write_score(tmp_path / "scores/Chopin_a.mid", starts=(0.5, 2.0), pitches=(62, 70))
    store = Store.prepare(score_source(tmp_path / "scores", notes), tmp_path / "store", 22_050, 1.0)
    assert set(store.table.label) == {"Chopin"} and len(store) == 2
    for sound, pitch in zip(store.sounds(), (62, 70), strict=True):
        peak = torch.fft.rfft(sound).abs().argmax().item() * 22_050 / len(sound)
        assert abs(12 * np.log2(peak / (440 * 2 ** ((pitch - 69) / 12)))) < 0.3
    write_score(tmp_path / "scores/nothing.mid", starts=(), pitches=())
    (tmp_path / "scores/text.mid").write_text("la la la")
    reasons = Store.prepare(score_source(tmp_path / "scores", notes), tmp_path / "store", 22_050, 1.0).report["reasons"]
    assert reasons == {"no notes": 1, "not a MIDI file, or damaged": 1}


@pytest.mark.skipif(not SHARED.exists(), reason=f"needs the recorded sounds that we develop with, in {SHARED}")
def test_recorded_sounds_are_all_accounted_for(tmp_path):
    store = Store.prepare(folder_source(SHARED / "one-shots"), tmp_path / "store", RATE, 1.0)
    report = store.report
    listed = len(pd.read_csv(SHARED / "one-shots/clips.csv"))
    assert report["rows_in_table"] == listed > 1000
    assert report["taken"] + report["turned_away"] + report["rows_that_repeat"] == listed
    assert store.table.groupby("group").split.nunique().max() == 1
    held, train = (np.flatnonzero(store.table.split.isin(names)) for names in (["test", "valid"], ["train"]))
    rows = store.table.index.to_numpy()
    points = np.concatenate([band_features(store.clips[part], log_band_edges) for part in chunks(len(store.clips))])
    assert find_near_duplicates(store.clips, points, rows[held], rows[train]) == {}
    found = {*find_near_duplicates(store.clips, points, rows[:1], np.arange(len(points)))}
    alike = max_cross_correlation(store.clips, [rows[0]] * len(points), range(len(points))) > 0.95
    assert {*np.flatnonzero(alike)} - {rows[0]} == found, "no pair is missed"


def test_a_clip_that_begins_late_is_whole(tmp_path):
    tone = 0.5 * np.sin(np.arange(3 * RATE) * 0.1)
    soundfile.write(tmp_path / "late.flac", np.concatenate([np.zeros(round(0.9 * RATE)), tone]), RATE)
    clip = read_clip(tmp_path / "late.flac", RATE, 1.0)
    assert abs(clip.onset - 0.9) < 0.002 and np.abs(clip.wave[-RATE // 4 : -RATE // 50]).max() > 0.9


@pytest.mark.parametrize("onset", [0, 132, 1000], ids=["of a synthesised sound", "of a recorded one", "late"])
def test_augmentation_moves_no_onset(onset):
    torch.manual_seed(0)
    clicks, time = torch.zeros(64, 8000), torch.arange(8000 - onset)
    clicks[:, onset:] = torch.exp(-time / 800) * torch.sin(time * 0.2 + 1)
    labels = torch.arange(64) % 4
    changes = {"gain": 6.0, "polarity": True, "pitch": 7.0, "tilt": 0.5, "mix": 0.3}
    for name, value in (*changes.items(), ("all", None)):
        chosen = changes if name == "all" else {name: value}
        changed = augment_batch(clicks, labels=labels, **chosen)
        loud = changed.abs() > 0.1 * changed.abs().amax(1, keepdim=True)
        moved = loud.int().argmax(1) - onset  # what is band-limited stirs a little before a step
        assert (moved.abs() <= 3).all(), name
        assert not torch.equal(changed, clicks) or name == "mix", name
        assert changed.isfinite().all() and changed.abs().max() <= 1
    assert torch.equal(augment_batch(clicks), clicks)


# Where sounds come from


def noise_that_dies(count, seconds=0.25, rate=44_100):
    torch.manual_seed(0)
    return torch.randn(count, round(seconds * rate)) * torch.linspace(1, 0, round(seconds * rate)) ** 2 / 8


def soxr_there_and_back(waves, rate, low):
    "Sounds (n, T) as they come back from a lower sample rate."
    return torch.from_numpy(
        np.stack([soxr.resample(soxr.resample(wave.numpy(), rate, low), low, rate) for wave in waves])
    )


def test_whose_sounds_they_are_stays_with_them(tmp_path):
    waves = noise_that_dies(12)
    dull = soxr_there_and_back(waves[:6], 44_100, 16_000)
    rows = []
    for number, wave in enumerate(torch.cat([dull, waves[6:]])):
        name = f"{'old' if number < 6 else 'new'}/{number:02}.wav"
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "in" / name, wave.numpy(), 44_100)
        rows.append(
            {"file": name, "Licence": "CC0-1.0" if number < 9 else "", "source": "" if number < 6 else f"ann:{number}"}
        )
    pd.DataFrame(rows).to_csv(tmp_path / "in/clips.csv", index=False)
    store = Store.prepare(tmp_path / "in", tmp_path / "store", 44_100, 0.25)
    old, new = sorted(provenance(store), key=lambda row: row["set"] == "ann")
    assert (old["set"], old["licence"], old["sounds"], old["empty above, Hz"]) == ("old", "CC0-1.0", 6, 8000)
    assert (new["set"], new["licence"], new["sounds"], new["empty above, Hz"]) == ("ann", "CC0-1.0, not named", 6, "")
    assert old["minutes"] == pytest.approx(6 * 0.25 / 60, rel=0.1) and old["groups"] == 6
    empty, rights = provenance_warnings([old, new])
    assert "old (above 8000 Hz)" in empty and "ann" not in empty and "sounds of ann:" in rights


def test_a_folder_without_a_table_names_no_licence_and_the_synthesiser_does(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise_that_dies(1)[0].numpy(), 44_100)
    (row,) = provenance(Store.prepare(tmp_path, tmp_path.parent / "one", 44_100, 0.25))
    assert (row["set"], row["licence"]) == ("(no folder)", "not named") and provenance_warnings([row])
    made = provenance(Store.prepare(synthesis_source(20), tmp_path.parent / "made", 16_000, 0.25))
    assert [row["licence"] for row in made] == ["CC0-1.0"] and not provenance_warnings(made)


@pytest.mark.parametrize(
    ("old", "expected"), [(8000, 4000), (11_025, 5512.5), (16_000, 8000), (22_050, 11_025), (44_100, 0)]
)
def test_an_old_sample_rate_is_seen_and_a_dull_sound_is_not_taken_for_one(old, expected):
    waves = noise_that_dies(8)
    sounds = soxr_there_and_back(waves, 44_100, old) if old < 44_100 else waves
    assert empty_above(sounds.numpy(), 44_100) == expected
    spectrum = torch.fft.rfft(waves)
    low = 1 / (1 + (torch.arange(spectrum.shape[1]) * 4 / 500) ** 4) ** 0.5  # 24 dB an octave, from 500 Hz
    assert empty_above(torch.fft.irfft(spectrum * low).numpy(), 44_100) == 0


def test_a_gap_in_a_spectrum_is_not_its_end():
    time = np.arange(44_100) / 44_100
    bells = [
        sum(np.sin(2 * np.pi * pitch * part * time) / part for part in (1, 2.76, 5.4))
        for pitch in range(1200, 1401, 50)
    ]
    assert empty_above(np.stack(bells) * np.exp(-5 * time), 44_100) == 8000, "the highest partials end at 7560 Hz"


@pytest.mark.parametrize(
    ("header", "first", "second", "says"),
    [
        ("file,license,source", "a.wav,CC0,x", "a.wav,CC-BY-NC,x", "says different things of"),
        ("file,license,source", "a.wav,,x", "a.wav,CC-BY-NC,x", "says different things of"),
        ("file,license,licence", "a.wav,CC0,CC0", "a.wav,CC0,CC0", "two columns of one name: license, licence$"),
    ],
)
def test_what_is_said_of_a_licence_must_be_one_thing(tmp_path, header, first, second, says):
    soundfile.write(tmp_path / "a.wav", noise_that_dies(1)[0].numpy(), 44_100)
    (tmp_path / "clips.csv").write_text("\n".join([header, first, second]) + "\n")
    with pytest.raises(Refused, match=says):
        folder_source(tmp_path)


def test_sets_are_named_alike_however_they_are_written(tmp_path):
    sources = {"Foo ": "Foo", "Foo:12": "Foo", "  ": "in", "https://x.org/a:0:b": "https://x.org/a", 7: "7", None: "in"}
    table = pd.DataFrame({"file": ["in/a.wav"] * len(sources), "source": list(sources)})
    assert sound_sets(table).tolist() == list(sources.values())
    soundfile.write(tmp_path / "a.wav", noise_that_dies(1)[0].numpy(), 44_100)
    (tmp_path / "clips.csv").write_text('file,licences\na.wav,"  "\n')
    (row,) = provenance(Store.prepare(tmp_path, tmp_path.parent / "blank", 44_100, 0.25))
    assert row["licence"] == "not named"


def test_half_a_sample_too_many_is_rounded_once(tmp_path):
    "0.5 s at 11,025 Hz are 5,512.5 samples: silence before the onset and sound after it were each rounded."
    store = Store.prepare(synthesis_source(4), tmp_path / "store", 11_025, 0.5)
    assert store.sounds().shape == (4, 5512)
