"Package metadata: all of it is in settings.ini. `python setup.py requirements` prints what the lock is made from."

import sys
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

parser = ConfigParser(delimiters=["="], interpolation=None)
parser.read(Path(__file__).parent / "settings.ini", encoding="utf-8")
settings = parser["DEFAULT"]

EXTRAS = {name: settings[f"{name}_requirements"].split() for name in ("train", "notebooks", "clap", "dev")}
EXTRAS["notebooks"] += EXTRAS["train"]  # the chapters train
if sys.argv[1:] == ["requirements"]:
    print("\n".join(settings["requirements"].split() + sum(EXTRAS.values(), [])))
    sys.exit()

setup(
    name=settings["lib_name"],
    version=settings["version"],
    description=settings["description"],
    author=settings["author"],
    license=settings["license"],
    packages=["samplevae", "samplevae.baselines"],
    package_data={"samplevae": ["*.safetensors", "page/*", "instruments/*/*", "instruments/*/*/*"]},
    long_description=(Path(__file__).parent / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=f">={settings['min_python']}",
    install_requires=settings["requirements"].split(),
    extras_require=EXTRAS,
    entry_points={"console_scripts": [settings["console_scripts"]]},
)
