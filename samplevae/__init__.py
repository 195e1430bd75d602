"SampleVAE: learn an instrument from a folder of sounds. What is named here is imported when it is first used."

from importlib import import_module

__version__ = "0.1.0"

WHERE = {
    "SampleVAE": "vae", "Store": "store", "FlowPrior": "prior", "NormalPrior": "prior",
    "load": "prior", "generate": "prior", "Refused": "settings",
}  # fmt: skip
__all__ = [*WHERE]


def __getattr__(name):
    if name not in WHERE:
        raise AttributeError(f"module 'samplevae' has no attribute {name!r}")
    return getattr(import_module(f"samplevae.{WHERE[name]}"), name)


def __dir__():
    return sorted([*globals(), *WHERE])
