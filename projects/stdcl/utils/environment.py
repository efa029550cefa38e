"""Provenance of a result: commit, package versions and machine."""
import os
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import torch

from ..catalogue import ROOT

PACKAGES = ('torch', 'mmengine', 'mmcv', 'mmcv-lite', 'mmaction2', 'numpy')


def current_commit() -> dict:
    """Return a dict of the checked-out commit and the state of the files.

    ``commit`` is the hash, and ``clean`` is False if there are local changes
    outside ``runs/``. Without ``.git``, both are None.
    """

    def git(*args: str) -> str:
        # the ceiling excludes repositories in parent folders
        env = {name: value for name, value in os.environ.items()
               if not name.startswith('GIT_')}
        env.update(GIT_CEILING_DIRECTORIES=str(ROOT.parent))
        return subprocess.run(  # in containers, the owner may differ
            ['git', '-c', 'safe.directory=*', '-C', str(ROOT), *args],
            check=True, text=True, capture_output=True, env=env
        ).stdout.strip()

    try:
        return dict(commit=git('rev-parse', 'HEAD'),
                    clean=not git('status', '--porcelain', '--', ':/',
                                  ':(top,exclude)runs'))
    except (OSError, subprocess.CalledProcessError):
        return dict(commit=None, clean=None)


def package_versions() -> dict:
    """Return the versions of Python and the main packages."""
    versions = dict(python=platform.python_version())
    for package in PACKAGES:
        with suppress(PackageNotFoundError):  # mmcv or mmcv-lite is installed
            versions[package] = version(package)
    return versions


def machine_kind() -> dict:
    """Describe the machine (system, CPU and GPU), without its name."""
    machine = dict(system=platform.system(), processor=platform.machine(),
                   cores=os.cpu_count(), threads=torch.get_num_threads())
    if torch.cuda.is_available():
        machine['gpu'] = torch.cuda.get_device_name()
    return machine
