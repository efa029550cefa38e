"""Convert JHMDB from files of different formats, as your own data.

    python -m runs.studies.parts.jhmdb_formats DD-Net/data/JHMDB

For each format, the script writes the clips to data/jhmdb/FORMAT and converts
them to data/jhmdb/FORMAT.pkl with tools/data/custom.py. The coordinates are
converted to pixels first, so integers only drop fractions of a pixel.
"""
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from projects.stdcl.datasets.converters import jhmdb

FORMATS = ('csv', 'csv-with-index', 'npy', 'pickle', 'int16', 'lost-joints')


def write_clip(form: str, path: Path, clip: np.ndarray) -> None:
    """Write the joints of a clip, shape (T, V, 2), in a format."""
    if form.startswith('csv'):  # with the header that pandas writes
        pd.DataFrame(clip.reshape(len(clip), -1)).to_csv(
            f'{path}.csv', index=form == 'csv-with-index')
    elif form == 'lost-joints':  # one joint in ten is (0, 0), confidence 0
        found = np.random.default_rng(len(clip)).random(clip.shape[:2]) > 0.1
        np.savez(f'{path}.npz', keypoint=np.where(found[..., None], clip, 0),
                 keypoint_score=found.astype(np.float32))
    else:
        np.save(f'{path}.npy', clip.astype('int16') if form == 'int16' else
                clip)


def convert(form: str, arrays: dict, folder: Path) -> None:
    """Write all clips in a format, and convert them with the tool."""
    clips = folder / form
    clips.mkdir(parents=True, exist_ok=True)
    keypoint = 300 + 90 * arrays['keypoint']
    if form == 'pickle':
        arguments = [folder / 'npy.pkl', folder / f'{form}.pkl', '--split',
                     'train', 'val']
    else:
        for name, clip in zip(arrays['name'], np.split(
                keypoint, np.cumsum(arrays['num_frames'])[:-1])):
            write_clip(form, clips / name, clip)
        table = folder / 'labels.csv'
        pd.DataFrame(dict(
            name=arrays['name'], label=arrays['label'], split=np.where(
                arrays['is_test_1'], 'val', 'train'))).to_csv(table)
        arguments = [clips, table, folder / f'{form}.pkl']
    subprocess.run([sys.executable, 'tools/data/custom.py', *arguments,
                    '--layout', 'jhmdb'], check=True)


if __name__ == '__main__':
    found = jhmdb.read(Path(sys.argv[1]))
    for one in FORMATS:
        convert(one, found, Path('data/jhmdb'))
