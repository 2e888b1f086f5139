"""Start a program of the installation with one guard broken: `python -m config.chaos.sabotage NAME MODULE ...`."""

import importlib
import runpy
import sys

from django import setup

import config.celery  # noqa: F401 # as Celery's own start does: names the settings


def main() -> None:
    """Break the guard, then be the program."""
    setup()
    name, module, *arguments = sys.argv[1:]
    # It knows Django's models, which can be imported only now.
    importlib.import_module("config.chaos.controls").break_guard(name)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
