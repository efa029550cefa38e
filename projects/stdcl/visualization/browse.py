"""Sequences of a data set, before and after the pipeline."""
import difflib
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import BaseDataset, Compose
from mmengine.registry import init_default_scope

from ..apis.load_model import layout_of
from ..utils.input_error import InputError
from ..utils.random_seed import derive_seed, seed_cpu
from ..utils.skeleton_layout import SkeletonLayout
from .skeleton_animation import (
    Animation,
    Panel,
    file_names,
    joints_of,
    to_points,
)
from .skeleton_gif import write_gif
from .skeleton_player import write_player

NO_POSITIONS = 'which is not drawn: its values are not positions.'


class BrowsedSequence(NamedTuple):
    """A sequence of a data set that has no transforms."""
    name: str
    classes: Dict[int, str]  # label -> name, '' if the data set has none
    dataset: BaseDataset
    index: int  # in that data set
    pipeline: Compose


class DatasetBrowser:
    """Draws sequences of a config's data set and what a model gets of them.

    Args:
        cfg (Config): The config.
        split (str): 'train', 'val' or 'test': whose data loader to read.
            Defaults to 'train'.
        layout (str | dict, optional): The layout. Defaults to that of the
            config's model.

    Raises:
        FileNotFoundError: The annotation file does not exist.
        InputError: The config has no such data set or no layout, or the
            layout is unknown.
        pickle.UnpicklingError: The annotation file is refused or damaged.

    Example::

        browser = DatasetBrowser(Config.fromfile('config.py'))
        index, = browser.choose(names=['a01_s01_e00_v01'])
        animation = browser.animate(index)
    """

    def __init__(self, cfg: Config, split: str = 'train',
                 layout=None) -> None:
        init_default_scope(cfg.get('default_scope') or 'mmaction')
        self.where = f'{split}_dataloader.dataset'
        loader = cfg.get(f'{split}_dataloader') or {}
        if 'dataset' not in loader:
            raise InputError(f'{self.where} is missing, expected a data set.')
        self.layout = SkeletonLayout.get(layout or layout_of(cfg))
        preprocessor = (cfg.get('model') or {}).get('data_preprocessor')
        self.preprocessor = preprocessor and MODELS.build(preprocessor)
        self.sequences = [sequence for leaf in _leaf_configs(loader.dataset)
                          for sequence in _list_sequences(leaf)]

    def choose(self, names: Optional[Sequence[str]] = None,
               classes: Optional[Sequence[str]] = None,
               num: Optional[int] = None, seed: int = 0) -> List[int]:
        """Choose sequences by name, or at random.

        Args:
            names (sequence[str], optional): Names of the sequences.
            classes (sequence[str], optional): Names or numbers of the classes
                to choose from. Defaults to all.
            num (int, optional): Number of sequences to choose. Defaults to
                all.
            seed (int): Seed of the choice. Defaults to 0.

        Returns:
            list[int]: Their indices.

        Raises:
            InputError: There is no sequence of a name or class.
        """
        if names:
            known = {sequence.name: index for index, sequence
                     in reversed([*enumerate(self.sequences)])}
            self._require_known('sequence', names, known)
            return [known[name] for name in names]
        chosen = range(len(self.sequences))
        if classes:
            of_class = {}
            for index, sequence in enumerate(self.sequences):
                for label, name in sequence.classes.items():
                    for key in (str(label), name):
                        of_class.setdefault(key, set()).add(index)
            of_class.pop('', None)
            self._require_known('class', classes, of_class)
            chosen = sorted(set.union(*(of_class[name] for name in classes)))
        chosen = np.random.default_rng(seed).permutation(chosen)[:num]
        return sorted(chosen.tolist())

    def _require_known(self, what: str, names: Sequence[str],
                       known: dict) -> None:
        for name in names:
            if name not in known:
                nearest = difflib.get_close_matches(name, known, cutoff=0.4)
                raise InputError(
                    f'{self.where} has no {what} "{name}", expected one of '
                    f'{len(known)} such as '
                    f'{", ".join(nearest or list(known)[:3])}.')

    def animate(self, index: int, seed: int = 0) -> Animation:
        """Draw a sequence before and after the pipeline.

        Args:
            index (int): Its index.
            seed (int): Random transforms depend on it and on the index alone.
                Defaults to 0.

        Raises:
            InputError: The pipeline fails, or the data do not match the
                layout.
        """
        name, classes, dataset, place, pipeline = self.sequences[index]
        try:
            info = dataset.get_data_info(place)
            before = joints_of(info)
            panels = [Panel(f'before {before.shape}',
                            to_points(before, self.layout))]
            seed_cpu(derive_seed(seed, index))
            note = self._add_after(panels, _run(pipeline, info), pipeline)
        except InputError as error:
            raise InputError(f'{self.where}: {name}: {error}') from error
        return Animation(name, ', '.join(
            f'{class_name or "class"} ({label})'
            for label, class_name in classes.items()), panels, note)

    def _add_after(self, panels: List[Panel], clips: torch.Tensor,
                   pipeline: Compose) -> str:
        """Add what the model gets if that is positions; returns a note."""
        made = [stream for step in pipeline.transforms
                for stream in getattr(step, 'feats', ()) if stream != 'j']
        if made:
            return (f'The pipeline makes the stream {", ".join(made)} '
                    f'{tuple(clips.shape)}, {NO_POSITIONS}')
        panels.append(self._panel('after', clips))
        stream = getattr(self.preprocessor, 'stream', 'joint')
        if stream != 'joint':
            return f'The model gets the stream "{stream}", {NO_POSITIONS}'
        if not getattr(self.preprocessor, 'center_relative', False):
            return ''
        panels.append(self._panel('model',
                                  self.preprocessor.make_stream(clips)))
        center = self.layout.joint_names[self.layout.center]
        return (f'The model gets joints relative to the {center}, which keeps '
                'its own path.')

    def _panel(self, what: str, clips: torch.Tensor) -> Panel:
        """A panel of the first clip, clips (num_clips, M, T, V, C)."""
        first = ', clip 1' if len(clips) > 1 else ''
        return Panel(f'{what} {tuple(clips.shape)}{first}',
                     to_points(clips[0].numpy(), self.layout))


def write_sequences(browser: DatasetBrowser, indices: Sequence[int],
                    out_dir: Path, style: str, title: str,
                    view: Tuple[float, float], seed: int = 0
                    ) -> Iterator[Path]:
    """Draw sequences to files, and yield the path of each.

    Args:
        browser, indices, seed: As in :meth:`DatasetBrowser.animate`.
        out_dir (Path): Folder of the files.
        style (str): 'gif', a file for each sequence, or 'html', one page.
        title (str): Title and file name of the page.
        view (tuple): Azimuth and elevation in degrees.
    """
    animations = (browser.animate(index, seed) for index in indices)
    if style == 'html':
        path = out_dir / f'{title}.html'
        write_player(path, title, list(animations), browser.layout, view)
        yield path
        return
    names = file_names([browser.sequences[index].name for index in indices])
    for name, animation in zip(names, animations):
        path = out_dir / f'{name}.gif'
        write_gif(path, animation, browser.layout, view)
        yield path


def _leaf_configs(dataset: dict) -> Iterator[dict]:
    """Configs of the data sets in RepeatDataset, ConcatDataset and others."""
    if 'dataset' not in dataset and 'datasets' not in dataset:
        yield dict(dataset)
    for part in dataset.get('datasets', [dataset.get('dataset')]):
        if part:
            yield from _leaf_configs(part)


def _list_sequences(config: dict) -> Iterator[BrowsedSequence]:
    """The sequences of a data set, as they are in its file."""
    pipeline = Compose([*config.pop('prepare', ()), *config['pipeline']])
    dataset = DATASETS.build({**config, 'pipeline': []})
    names = dict(enumerate(dataset.metainfo.get('classes') or ()))
    for index in range(len(dataset)):
        # the data set's own get_data_info also copies or computes joints
        annotation = BaseDataset.get_data_info(dataset, index)
        labels = np.ravel(annotation.get('label', [])).astype(int).tolist()
        yield BrowsedSequence(
            annotation.get('frame_dir', annotation.get('filename',
                                                       str(index))),
            {label: names.get(label, '') for label in labels}, dataset, index,
            pipeline)


def _run(pipeline: Compose, info: dict) -> torch.Tensor:
    """Run a pipeline; returns clips (num_clips, M, T, V, C)."""
    try:
        inputs = pipeline(info)['inputs']
    except Exception as error:  # transforms may raise anything
        raise InputError('the pipeline fails with '
                         f'{type(error).__name__}: {error}') from error
    if inputs.ndim != 5:
        raise InputError(
            f'the pipeline returns shape {tuple(inputs.shape)}, expected '
            '(clips, persons, frames, joints, channels).')
    return inputs
