"Outside a clone: a wheel, the core alone, and what it can do."

import shutil
import subprocess
import sys

import pytest
from conftest import CLONE

from samplevae.vae import SampleVAE

PROGRAM = """
import sys
import torch
from samplevae import FlowPrior, SampleVAE, generate, load
from samplevae.embeddings import SHIPPED_DRUMNET, drumnet, mel
from samplevae.files import cache_folder
from samplevae.metrics import frechet
from samplevae.vectors import encode_vectors

model = SampleVAE.from_pretrained(sys.argv[1])
sound = model.decode(torch.zeros(1, *model.shape))
assert sound.shape == (1, 1, model.length) and sound.abs().max() > 0
z = encode_vectors(model, sound[:, 0])
prior = FlowPrior(*model.shape, pitch_dims=model.config.pitch_dims)
assert prior.sample((3,)).shape == (3, z.shape[1]) and prior.log_prob(z).isfinite().all()
sounds = generate(model, prior, 20)
points = mel().embed(sounds, model.config.sample_rate)
assert drumnet(SHIPPED_DRUMNET).embed(sounds, model.config.sample_rate).shape == (20, 64)
print(frechet(points[:10], points[10:]), cache_folder())
"""


def test_the_core_of_a_wheel_decodes_and_compares(tmp_path):
    "Built, installed without extras into an empty environment, and used from another folder."
    run = lambda *command, **options: subprocess.run(  # noqa: E731
        [*map(str, command)], check=True, capture_output=True, text=True, cwd=tmp_path, timeout=900, **options
    )
    source = tmp_path / "source"
    run("git", "clone", "--quiet", CLONE, source)
    for path in "setup.py", "settings.ini", "pyproject.toml", "README.md":
        (source / path).write_text((CLONE / path).read_text())
    for module in (CLONE / "samplevae").rglob("*.py"):
        place = source / module.relative_to(CLONE)
        place.parent.mkdir(exist_ok=True)
        place.write_text(module.read_text())
    shutil.copy(CLONE / "samplevae/drumnet.safetensors", source / "samplevae")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", source, "--outdir", tmp_path)
    wheel = next(tmp_path.glob("*.whl"))
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "empty")
    python = tmp_path / "empty/bin/python"
    run("uv", "pip", "install", "--python", python, "--constraint", CLONE / "requirements.lock", wheel)
    SampleVAE(latent=4, size="tiny", sample_rate=16_000, seconds=0.25, hop_length=256).save_pretrained(
        tmp_path / "model"
    )
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    said = run(python, "-c", PROGRAM, tmp_path / "model", env=environment).stdout
    assert str(tmp_path) in said and str(CLONE) not in said, "its cache is the user's, and nothing comes from the clone"
    with pytest.raises(subprocess.CalledProcessError):
        run(python, "-c", "import matplotlib")
    for command in (python, "-c", "from samplevae import Store"), (tmp_path / "empty/bin/samplevae", "settings"):
        with pytest.raises(subprocess.CalledProcessError) as error:
            run(*command)
        assert error.value.stderr.splitlines()[-1].endswith("pip install 'samplevae[train]'")
