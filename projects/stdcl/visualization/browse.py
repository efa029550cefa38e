"""Draw sequences of a data set before and after the pipeline."""
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from mmaction.registry import DATASETS
from mmengine.config import Config
from mmengine.dataset import BaseDataset, Compose
from mmengine.registry import init_default_scope

from ..apis.load_model import find_vertical, layout_of
from ..datasets.data_description import feature_transforms
from ..datasets.dataset_access import transforms_of, unwrap_datasets
from ..datasets.skeleton_dataset import SkeletonDataset
from ..datasets.transforms.format_gcn_input import find_num_person, fit_persons
from ..utils.input_error import InputError, require_positive
from ..utils.random_seed import derive_seed, seed_cpu
from .skeleton_animation import Animation, Panel, joints_of, to_points


class BrowsedSequence(NamedTuple):
    """A sequence of a data set, and the pipeline to apply to it."""
    name: str
    classes: dict[str, str]  # label -> class name, '' if unknown
    dataset: BaseDataset  # has no pipeline
    index: int  # of the sequence in ``dataset``
    pipeline: Compose


class DatasetBrowser:
    """Browser that draws sequences before and after the pipeline.

    ``split`` is the data loader to read: 'train', 'val' or 'test'. An
    ``InputError`` is raised if ``cfg`` lacks its data set or a valid layout.
    """

    def __init__(self, cfg: Config, split: str = 'train') -> None:
        init_default_scope(cfg.get('default_scope') or 'mmaction')
        self.where = f'{split}_dataloader.dataset'
        loader = cfg.get(f'{split}_dataloader') or {}
        if 'dataset' not in loader:
            raise InputError(f'{self.where} is missing, expected a data set.')
        self.layout = layout_of(cfg)
        self.up = find_vertical(cfg)  # before and after the pipeline
        self.sequences = [sequence for part in unwrap_datasets(loader)
                          for sequence in _list_sequences(*part)]

    def choose(self, names: Sequence[str] | None = None,
               classes: Sequence[str] | None = None,
               num: int | None = None, seed: int = 0) -> list[int]:
        """Choose sequences by name, or at random.

        The random choice contains up to ``num`` sequences (default: all) of
        ``classes``, which are names or numbers of classes (default: all).
        Return indices for :meth:`animate`, in the order of ``names``. An
        ``InputError`` is raised if a name is unknown or ``num`` is below 1.
        """
        require_positive(self.where, num=1 if num is None else num)
        known: dict[str, list[int]] = {}
        taken = {name for sequence in self.sequences
                 for name in sequence.classes.values()}
        for index, sequence in enumerate(self.sequences):
            keys = [sequence.name] if names else [
                *(sequence.classes.keys() - taken), *sequence.classes.values()]
            for key in keys:
                known.setdefault(key, []).append(index)
        known.pop('', None)
        for name in names or classes or ():
            if name not in known:
                raise InputError(
                    f'{self.where} has no {"sequence" if names else "class"} '
                    f'"{name}", expected a name such as '
                    f'{", ".join(list(known)[:3])} ({len(known)} in all).')
        if names:
            return [known[name][0] for name in names]
        chosen = range(len(self.sequences)) if not classes else sorted(
            {index for name in classes for index in known[name]})
        chosen = np.random.default_rng(derive_seed(seed)).permutation(
            chosen)[:num]
        return sorted(chosen.tolist())

    def animate(self, index: int, seed: int = 0) -> Animation:
        """Draw a sequence before and after the pipeline.

        Random transforms depend only on ``seed`` and ``index``. A note
        replaces the second panel if a transform computes bones or motion. An
        ``InputError`` is raised if the pipeline fails, or if the joints do not
        fit the layout.
        """
        name, classes, dataset, place, pipeline = self.sequences[index]
        try:
            info = dataset.get_data_info(place)
            before = joints_of(info)
            seed_cpu(derive_seed(seed, index))
            panels = [Panel(f'before {before.shape}',
                            to_points(before, self.layout, self.up[0]))]
            if isinstance(dataset, SkeletonDataset):  # as in training
                info = fit_persons(self.where, info, find_num_person(
                    pipeline.transforms))
            clips = pipeline(info)['inputs']  # (num_clips, M, T, V, C)
            shape = tuple(clips.shape)
            steps = feature_transforms(pipeline.transforms)
            note = '' if not steps else (
                f'{", ".join(steps)} computes bones or motion of shape '
                f'{shape}, which are not drawn.')
            if not note:
                panels.append(Panel(
                    f'after {shape}{", clip 1" if len(clips) > 1 else ""}',
                    to_points(clips[0].numpy(), self.layout, self.up[1])))
        except Exception as error:  # transforms may raise anything
            raise InputError(f'{self.where}: cannot draw the sequence {name}: '
                             f'{type(error).__name__}: {error}') from error
        return Animation(name, ', '.join(
            f'{class_name or "class"} ({label})'
            for label, class_name in classes.items()), panels, note)


def _list_sequences(config: dict,
                    wrappers: tuple) -> Iterator[BrowsedSequence]:
    """Yield the sequences of a data set, before all other transforms."""
    pipeline = Compose(transforms_of(config, *wrappers))
    dataset = DATASETS.build({**config, 'pipeline': []})
    names = dict(enumerate(dataset.metainfo.get('classes') or ()))
    for index in range(len(dataset)):
        # a subclass may copy joints or read a file in get_data_info
        annotation = BaseDataset.get_data_info(dataset, index)
        labels = np.ravel(annotation.get('label', [])).astype(int).tolist()
        yield BrowsedSequence(
            annotation.get('filename', annotation.get('frame_dir',
                                                       str(index))),
            {str(label): names.get(label, '') for label in labels}, dataset,
            index, pipeline)
