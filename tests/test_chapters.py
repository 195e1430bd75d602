"Every chapter runs from its first cell to its last."

import multiprocessing
import os

import papermill
import pytest
from conftest import CLONE
from execnb.shell import CaptureShell

from samplevae.book import list_chapters
from samplevae.experiments import PAPERMILL_OPTIONS

CHAPTERS = list_chapters()


def execute(chapter):
    "Run the cells of a chapter in a fresh shell."
    os.chdir(chapter.parent)
    CaptureShell().execute(chapter, exc_stop=True)


@pytest.mark.long
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_runs(chapter):
    "In a fork, where torch is imported already; it prints what failed."
    process = multiprocessing.get_context("fork").Process(target=execute, args=(chapter,))
    process.start()
    process.join()
    assert process.exitcode == 0


def test_a_parameter_that_does_not_exist_stops_a_chapter(tmp_path):
    "By papermill, in a kernel, as in a run."
    with pytest.raises(papermill.PapermillExecutionError, match="did you mean 'latent'"):
        papermill.execute_notebook(
            CLONE / "nbs/38_prior.ipynb",
            tmp_path / "out.ipynb",
            {"latnt": 3},
            **PAPERMILL_OPTIONS,
        )
