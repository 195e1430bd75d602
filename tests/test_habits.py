"What we have promised each other about notebooks, package and README."

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from dataclasses import fields

import nbformat
import pytest
from conftest import CLONE
from execnb.nbio import nb2str
from nbdev.clean import clean_nb

from samplevae import __version__
from samplevae.book import list_chapters, render_readme
from samplevae.config import Config

pytestmark = pytest.mark.quick
CHAPTERS = list_chapters()
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
TEXT = {".py", ".md", ".ipynb", ".ini", ".toml", ".yaml", ".lock", ""}


def tracked():
    "All files that git knows."
    listed = subprocess.run(["git", "-C", CLONE, "ls-files", "-z"], capture_output=True, text=True, check=True)
    return [CLONE / name for name in listed.stdout.split("\0") if name]


def test_the_package_is_what_the_chapters_export(tmp_path):
    shutil.copy(CLONE / "settings.ini", tmp_path)
    shutil.copytree(CLONE / "nbs", tmp_path / "nbs")
    environment = {name: value for name, value in os.environ.items() if name != "IN_TEST"}
    export = "from nbdev.doclinks import nbdev_export as e; e.__wrapped__(procs='black_format')"
    subprocess.run([sys.executable, "-c", export], cwd=tmp_path, env=environment, check=True)
    packages = [root / "samplevae" for root in (tmp_path, CLONE)]
    fresh, here = ({str(p.relative_to(package)): p.read_text() for p in package.rglob("*.py")} for package in packages)
    assert sorted(fresh) == sorted(here)
    different = [name for name in here if fresh[name] != here[name] and name != "__init__.py"]  # which has no chapter
    assert different == [], "run: make export"


@each_chapter
def test_chapter_is_clean(chapter):
    text = chapter.read_text()
    notebook = json.loads(text)
    clean_nb(notebook, allowed_cell_metadata_keys=["tags"])
    assert nb2str(notebook) == text, "run: make export"


@each_chapter
def test_chapter_shows_no_error_and_no_place(chapter):
    for cell in nbformat.read(chapter, 4).cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error", cell.source
            shown = output.get("text", "") + "".join(v for k, v in output.get("data", {}).items() if k == "text/plain")
            assert not re.search(r"/(home|root|Users|tmp|work|private)/", shown), shown


@each_chapter
def test_no_setting_has_the_name_of_a_function(chapter):
    notebook = nbformat.read(chapter, 4)
    if not any("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells):
        return  # papermill puts no settings here
    bound = set()
    for cell in notebook.cells:
        for node in ast.parse(cell.source).body if cell.cell_type == "code" else []:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                bound.add(node.name)
            if isinstance(node, ast.Import | ast.ImportFrom):
                bound |= {name.asname or name.name for name in node.names}
    assert not bound & {setting.name for setting in fields(Config)}, "a setting that is given would take its place"


MODULES = sorted((CLONE / "samplevae").rglob("[!_]*.py"))


def number_of(chapter):
    "The place of a chapter: those of baselines follow the one that introduces them."
    own = int(chapter.stem[:2])
    return 75 + own / 100 if chapter.parent.name == "baselines" else own


NUMBER = {path.stem.partition("_")[2]: number_of(path) for path in CHAPTERS if path.stem[0].isdigit()}


def public_names(module):
    "The names that a module exports."
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def test_one_name_has_one_meaning():
    where = {}
    for module in MODULES:
        for name in public_names(module):
            where.setdefault(name, []).append(module.stem)
    assert {name: modules for name, modules in where.items() if len(modules) > 1} == {}


def imports_of(module):
    "The modules of ours that a module imports, also within functions, but not for types alone."
    tree = ast.parse(module.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("samplevae.")):
            yield (node.module or "").rpartition(".")[2]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_a_module_imports_only_from_chapters_before_it(module):
    "Tools have two layers: from 88 to 94 they import nothing but each other and may be imported by all, from 95 on all."
    own = NUMBER[module.stem]
    for other in imports_of(module):
        base = 88 <= NUMBER[other] < 95
        assert NUMBER[other] < own or (base and own < 90), f"{module.stem} imports {other}"
        assert base or not 88 <= own < 95, f"{module.stem} imports {other}"


def code_cells(chapter):
    "The sources of the code of a chapter."
    return [cell.source for cell in nbformat.read(chapter, 4).cells if cell.cell_type == "code"]


@each_chapter
def test_cells_and_modules_stay_readable(chapter):
    exported = [source.splitlines()[1:] for source in code_cells(chapter) if source.startswith("#| export")]
    assert max(map(len, exported), default=0) <= 45, "no exported cell above 45 lines"
    assert sum(map(len, exported)) <= 260, "a chapter is one idea: about 250 exported lines at the most"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_a_module_runs_no_examples_when_it_is_imported(module):
    body = ast.parse(module.read_text()).body[1:]
    assert [ast.unparse(node) for node in body if isinstance(node, ast.Expr | ast.Assert)] == []


FIGURES_OF_SPEECH = (
    "slope", "slopes", "judge", "judges", "judged", "ears", "verdict", "twin", "twins", "hears", "told",
    "bench", "benches", "bent",
)  # fmt: skip


def words_of(source):
    "The words of a program: names, comments and strings, in lower case."
    return set(re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", source).replace("_", " ").lower()))


@each_chapter
def test_code_has_the_words_of_the_field(chapter):
    found = [words_of(source) & {*FIGURES_OF_SPEECH} for source in code_cells(chapter)]
    assert set().union(*found) == set()


@pytest.mark.parametrize("file", sorted((CLONE / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_benchmarks_have_the_words_of_the_field(file):
    assert words_of(file.read_text()) & {*FIGURES_OF_SPEECH} == set()


def test_prose_names_chapters_not_their_numbers():
    for chapter in CHAPTERS:
        prose = "".join(cell.source for cell in nbformat.read(chapter, 4).cells if cell.cell_type == "markdown")
        assert not re.search(r"chapters? \d", prose), chapter.name


def test_the_package_is_light_until_more_is_needed():
    program = "import sys; from samplevae import SampleVAE; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    heavy = {"IPython", "jinja2", "pandas", "matplotlib", "librosa", "transformers", "lightning", "lightning_fabric"}
    assert not loaded & heavy


def test_chapters_stay_small():
    sizes = {path.name: path.stat().st_size / 2**20 for path in CHAPTERS}
    assert max(sizes.values()) < 2.2 and sum(sizes.values()) < 25, sizes


def test_every_chapter_of_the_map_exists_and_every_chapter_is_on_it():
    linked = set(
        re.findall(
            r"\(((?:baselines/)?\w+\.ipynb)\)",
            "".join(c.source for c in nbformat.read(CLONE / "nbs/index.ipynb", 4).cells),
        )
    )
    assert linked == {str(path.relative_to(CLONE / "nbs")) for path in CHAPTERS} - {"index.ipynb"}


def test_the_readme_is_what_the_front_page_says():
    assert (CLONE / "README.md").read_text() == render_readme(), "run: make readme"


def test_the_version_lives_in_one_place():
    settings = ConfigParser(interpolation=None)
    settings.read(CLONE / "settings.ini")
    assert __version__ == settings["DEFAULT"]["version"]


def test_the_lock_names_versions_and_nothing_else():
    for line in (CLONE / "requirements.lock").read_text().splitlines():
        assert re.match(r"[a-z0-9._-]+==[\w.!+]+( ;.*)?$", line), line


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_is_content(command):
    done = subprocess.run(["ruff", *command, "nbs", "tests", "setup.py"], cwd=CLONE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_file_names_a_machine():
    for path in tracked():
        if path.suffix in TEXT and path.exists() and path.name != "test_habits.py":
            found = re.search(r"(/home/\w|/root/|/Users/\w|/work/)", path.read_text(errors="replace"))
            assert not found, f"{path.name}: {found}"
