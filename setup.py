"Package metadata: all of it is in settings.ini. `python setup.py requirements` prints what the lock is made from."

import sys
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

parser = ConfigParser(delimiters=["="], interpolation=None)
parser.read(Path(__file__).parent / "settings.ini", encoding="utf-8")
settings = parser["DEFAULT"]

if sys.argv[1:] == ["requirements"]:
    print("\n".join((settings["requirements"] + " " + settings["dev_requirements"]).split()))
    sys.exit()

setup(
    name=settings["lib_name"],
    version=settings["version"],
    description=settings["description"],
    author=settings["author"],
    license=settings["license"],
    packages=["samplevae"],
    python_requires=f">={settings['min_python']}",
    install_requires=settings["requirements"].split(),
    extras_require={"dev": settings["dev_requirements"].split()},
    entry_points={"console_scripts": [settings["console_scripts"]]},
)
