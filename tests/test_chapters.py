"Every chapter runs from its first cell to its last, as papermill would run it."

import papermill
import pytest
from conftest import CLONE

from samplevae.experiments import PAPERMILL_OPTIONS

CHAPTERS = sorted((CLONE / "nbs").glob("*.ipynb"))


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_runs(chapter, tmp_path):
    papermill.execute_notebook(chapter, tmp_path / "out.ipynb", cwd=CLONE / "nbs", **PAPERMILL_OPTIONS)


def test_a_parameter_that_does_not_exist_stops_a_chapter(tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match="did you mean 'latent'"):
        papermill.execute_notebook(
            CLONE / "nbs/38_prior.ipynb",
            tmp_path / "out.ipynb",
            {"latnt": 3},
            **PAPERMILL_OPTIONS,
        )
