"""Where a result comes from: commit, versions and machine."""
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = ('torch', 'mmengine', 'mmcv', 'mmcv-lite', 'mmaction2', 'numpy')


def current_commit() -> dict:
    """Find the commit of this repository.

    Files copied without ``.git`` can name their commit, which must be clean,
    in the environment variable STDCL_COMMIT. ``clean`` says whether nothing
    but the records in ``runs/`` differs from ``commit``.
    """

    def git(*args: str) -> str:
        return subprocess.run(
            ['git', '-C', str(Path(__file__).parent), *args], check=True,
            capture_output=True, text=True).stdout.strip()

    try:
        return dict(commit=git('rev-parse', 'HEAD'),
                    clean=not git('status', '--porcelain', '--', ':/',
                                  ':(top,exclude)runs'))
    except (OSError, subprocess.CalledProcessError):
        commit = os.environ.get('STDCL_COMMIT')
        return dict(commit=commit, clean=True if commit else None)


def package_versions() -> dict:
    """Return the versions of Python and of the packages in use."""
    versions = dict(python=platform.python_version())
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue  # mmcv or mmcv-lite
    return versions


def machine_kind() -> dict:
    """Return what kind of machine this is, without its name."""
    machine = dict(system=platform.system(), processor=platform.machine(),
                   cores=os.cpu_count(), threads=torch.get_num_threads())
    if torch.cuda.is_available():
        machine['gpu'] = torch.cuda.get_device_name()
    return machine
