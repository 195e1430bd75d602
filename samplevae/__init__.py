"SampleVAE: learn an instrument from a folder of sounds. What is named here is imported when it is first used."

from importlib import import_module

__version__ = "0.1.0"

WHERE = {
    "SampleVAE": "vae", "Store": "store", "FlowPrior": "prior", "NormalPrior": "mixtures",
    "load": "prior", "generate": "prior", "Refused": "settings",
}  # fmt: skip
__all__ = [*WHERE]


def import_part(module):
    "A module of the package, or an error that names what has to be installed for it."
    try:
        return import_module(f"samplevae.{module}")
    except ModuleNotFoundError as error:
        if error.name.startswith("samplevae"):
            raise
        raise ImportError(f"samplevae.{module} needs {error.name}: pip install 'samplevae[train]'") from None


def main():
    "The command `samplevae`."
    try:
        command = import_part("cli").main
    except ImportError as error:
        raise SystemExit(str(error)) from None
    return command()


def __getattr__(name):
    if name not in WHERE:
        raise AttributeError(f"module 'samplevae' has no attribute {name!r}")
    return getattr(import_part(WHERE[name]), name)


def __dir__():
    return sorted([*globals(), *WHERE])
