"""Show sequences of a data set as skeletons, before and after the pipeline.

What the annotation file has is drawn beside what the pipeline makes of it,
with class, frame and shapes: what a model is trained on, at a glance.
"""
import argparse
import difflib
import json
import logging
import os.path as osp
import pickle
import random
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Container, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config, DictAction
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope
from rich.console import Console
from rich.progress import Progress

sys.path.insert(0, osp.dirname(osp.dirname(osp.dirname(
    osp.abspath(__file__)))))

import projects.stdcl  # noqa: F401  repairs the stack
from projects.stdcl.datasets.training_sequences import (
    TrainingSequences,
)
from projects.stdcl.utils import safe_pickle
from projects.stdcl.utils.skeleton_layout import SkeletonLayout
from projects.stdcl.visualization.draw_skeleton import (
    Animation,
    Panel,
    to_points,
    view_type,
    write_gif,
    write_html,
)

EXAMPLES = '''examples:
  python tools/visualization/browse_dataset.py \\
      configs/stdcl/stdcl-stgcn_synthetic.py
  python tools/visualization/browse_dataset.py CONFIG --format html \\
      --num 50 --split test                    one page to browse and to turn
  python tools/visualization/browse_dataset.py CONFIG --view 35,15 \\
      --names a01_s01_e00_v01 a02_s01_e00_v01
  python tools/visualization/browse_dataset.py CONFIG --cfg-options \\
      train_dataloader.dataset.dataset.ann_file=my.pkl

Paths in a config (data/...) are relative to the working directory. Of 3D data
the front is what the sensor of a Kinect saw.'''


class BrowseDataset:
    """Some sequences of a data set, as they are and as a model gets them.

    Of the annotation files it keeps what these sequences have.

    Args:
        cfg (Config): The config.
        split (str): 'train', 'val' or 'test', whose data loader to take.
        layout (str | dict, optional): The layout. Defaults to the model's in
            the config, else that of the annotation file.
        streams (bool): Whether to show what the model's data preprocessor
            makes of the data. Defaults to False.
        names (sequence[str], optional): The sequences. Defaults to ``num``
            of them, drawn at random.
        num (int, optional): Defaults to all.
        seed (int): Of that draw. Defaults to 0.

    Raises:
        FileNotFoundError: The annotation file does not exist.
        ValueError: The config has no such data set or no layout, the layout
            is unknown, or there is no sequence of such a name.
        pickle.UnpicklingError: The annotation file is refused or damaged.
    """

    def __init__(self, cfg: Config, split: str, layout=None,
                 streams: bool = False,
                 names: Optional[Sequence[str]] = None,
                 num: Optional[int] = None, seed: int = 0) -> None:
        init_default_scope(cfg.get('default_scope') or 'mmaction')
        self.where = f'{cfg.filename}: {split}_dataloader.dataset'
        loader = cfg.get(f'{split}_dataloader') or {}
        if 'dataset' not in loader:
            raise ValueError(f'{self.where} is not there.')
        layout = layout or find_layout(cfg)
        if isinstance(layout, str):
            SkeletonLayout.get(layout)  # before the data are loaded
        try:
            self.parts = TrainingSequences(
                DATASETS.build(loader.dataset)).parts
        except FileNotFoundError as error:
            raise FileNotFoundError(f'{self.where}: {error}') from None
        self.indices = self.find(names) if names else self.draw(num, seed)
        self.files = self._read_files()
        layout = layout or next(
            (file['layout'] for file in self.files.values()
             if 'layout' in file), None)
        if layout is None:
            raise ValueError(f'{cfg.filename} has no layout in '
                             'model.data_preprocessor or model.backbone. '
                             'Give --layout.')
        self.layout = SkeletonLayout.get(layout)
        self.preprocessor = None
        if streams:
            if not cfg.model.get('data_preprocessor'):
                raise ValueError(f'{cfg.filename} has no '
                                 'model.data_preprocessor, so no --streams.')
            self.preprocessor = MODELS.build(cfg.model.data_preprocessor)

    def __len__(self) -> int:
        part, first = self.parts[-1]
        return first + len(part)

    def _read_files(self) -> Dict[str, dict]:
        """The annotation files, with the annotations of our sequences alone.

        Returns:
            dict[str, dict]: Path -> content, its annotations by their names.
        """
        chosen = defaultdict(set)
        for index in self.indices:
            chosen[self._locate(index)[0].ann_file].add(self._name(index))
        paths = dict.fromkeys(part.ann_file for part, _ in self.parts)
        return {path: _read_some(path, chosen[path])
                for path in filter(None, paths)}

    def _locate(self, index: int) -> tuple:
        """The part that holds a sequence, and its index there."""
        part, first = next(item for item in reversed(self.parts)
                           if item[1] <= index)
        return part, index - first

    def _name(self, index: int) -> str:
        """The name of a sequence, without reading its coordinates."""
        # a part's own method may add them
        return _name(BaseDataset.get_data_info(*self._locate(index)))

    def find(self, names: Iterable[str]) -> List[int]:
        """Indices of sequences, by their names.

        Raises:
            ValueError: There is no such name; the nearest ones are told.
        """
        known = {}
        for index in range(len(self)):
            known.setdefault(self._name(index), index)
        for name in names:
            if name not in known:
                nearest = difflib.get_close_matches(name, known, cutoff=0.4)
                hint = ', '.join(nearest or list(known)[:3])
                raise ValueError(f'{self.where} has no sequence "{name}". '
                                 f'Nearest of {len(known)}: {hint}.')
        return [known[name] for name in names]

    def draw(self, num: Optional[int], seed: int) -> List[int]:
        """Indices of at most ``num`` sequences, at random; of all if None."""
        chosen = np.random.default_rng(seed).permutation(len(self))[:num]
        return sorted(chosen.tolist())

    def animate(self, index: int, seed: int = 0) -> Animation:
        """A sequence before and after the pipeline.

        Args:
            index (int): Its index, one of ``indices``.
            seed (int): What transforms draw at random depends on it and on
                the index alone. Defaults to 0.

        Raises:
            ValueError: The pipeline fails, or the shape of the data is not
                that of the layout.
        """
        part, local = self._locate(index)
        info = part.get_data_info(local)
        name = self._name(index)
        file = self.files.get(part.ann_file, {})
        # a data set may have changed what it loaded
        raw = file.get('annotations', {}).get(name, info)
        if 'keypoint' not in raw:
            raw = info  # a file for each sequence
        try:
            before = _joints(raw)
            panels = [Panel(f'before {before.shape}',
                            to_points(before, self.layout))]
            after = self._run(part, local, seed + index)
            note = self._add_after(panels, after, part)
        except ValueError as error:
            raise ValueError(f'{self.where}: {name}: {error}.') from error
        classes = file.get('classes') or part.metainfo.get('classes') or ()
        return Animation(name, _class_name(raw, classes), panels, note)

    @staticmethod
    def _run(part, local: int, seed: int) -> torch.Tensor:
        """Output of the pipeline, (num_clips, M, T, V, C)."""
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            inputs = part.prepare_data(local)['inputs']
        except Exception as error:
            raise ValueError(f'the pipeline fails with '
                             f'{type(error).__name__}: {error}') from error
        if inputs.ndim != 5:
            raise ValueError(
                f'the pipeline gives shape {tuple(inputs.shape)}, expected '
                '(clips, persons, frames, joints, channels)')
        return inputs

    def _panel(self, what: str, clips: torch.Tensor) -> Panel:
        """A panel of the first clip, clips (num_clips, M, T, V, C)."""
        first = ', clip 1' if len(clips) > 1 else ''
        return Panel(f'{what} {tuple(clips.shape)}{first}',
                     to_points(clips[0].numpy(), self.layout))

    def _add_after(self, panels: list, clips: torch.Tensor, part) -> str:
        """Add the pipeline's output, and what the model gets of it.

        Either is drawn where its values are positions; returns a note.
        """
        made = _streams_made(part)
        if made:
            return (f'The pipeline makes {", ".join(made)} '
                    f'{tuple(clips.shape)}, which is not drawn: its values '
                    'are differences, no positions.')
        panels.append(self._panel('after', clips))
        stream = getattr(self.preprocessor, 'stream', 'joint')
        if stream != 'joint':
            return (f'The model gets the stream "{stream}", which is not '
                    'drawn: its values are differences, no positions.')
        if getattr(self.preprocessor, 'center_relative', False):
            panels.append(self._panel(
                'model', self.preprocessor.make_stream(clips)))
            center = self.layout.joint_names[self.layout.center]
            return (f'The model gets joints relative to the {center}, which '
                    'keeps its own path.')
        return 'The model gets what is after the pipeline.' \
            if self.preprocessor is not None else ''


def _read_some(path: str, names: Container[str]) -> dict:
    """An annotation file, with some annotations, by their names."""
    content = safe_pickle.load(path)
    if isinstance(content, list):
        content = dict(annotations=content)
    return {**content, 'annotations': {
        _name(annotation): annotation
        for annotation in content['annotations']
        if _name(annotation) in names}}


def _name(info: dict) -> str:
    """The name of a sequence; without one its number."""
    return info.get('frame_dir', info.get('filename', str(
        info.get('sample_idx', ''))))


def _streams_made(part) -> List[str]:
    """Streams other than joints that transforms of a data set make."""
    compositions = part.pipeline, getattr(part, 'prepare', None)
    return [f'{type(step).__name__}({stream})' for steps in compositions
            for step in getattr(steps, 'transforms', ())
            for stream in getattr(step, 'feats', ()) if stream != 'j']


def _joints(info: dict) -> np.ndarray:
    """Joints of an annotation with their confidence, (M, T, V, C).

    Raises:
        ValueError: It has no joints.
    """
    if 'keypoint' not in info:
        raise ValueError('there is no "keypoint", only '
                         f'{", ".join(map(str, info))}')
    keypoint = np.asarray(info['keypoint'], dtype=np.float32)
    score = info.get('keypoint_score')
    if score is None or keypoint.shape[-1] != 2:
        return keypoint
    return np.concatenate(
        [keypoint, np.asarray(score, dtype=np.float32)[..., None]], axis=-1)


def _class_name(info: dict, classes: Sequence[str]) -> str:
    """Name and index of the class, or of all that a sequence has."""
    labels = np.ravel(info.get('label', [])).astype(int).tolist()
    return ', '.join(
        f'{classes[label]} ({label})' if 0 <= label < len(classes)
        else f'class {label}' for label in labels) or 'no class'


def find_layout(cfg: Config):
    """Name or dict of the layout that a config's model has; None without."""
    model = cfg.get('model') or {}
    backbone = model.get('backbone') or {}
    for place in (model.get('data_preprocessor') or {},
                  backbone.get('graph_cfg') or {}, backbone):
        if place.get('layout'):
            return place['layout']
    return None


def read_layout(text: str):
    """The name of a layout, or the dict in a JSON file.

    Raises:
        ValueError: The file cannot be read.
    """
    if not text.endswith('.json'):
        return text
    try:
        layout = json.loads(Path(text).read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f'--layout {text} cannot be read: {error}') from None
    if not isinstance(layout, dict):
        raise ValueError(f'--layout {text} holds a {type(layout).__name__}, '
                         'expected an object with joint_names, edges, center')
    return layout


def browse(dataset: BrowseDataset, out_dir: Path, style: str, title: str,
           view: Tuple[float, float], seed: int = 0) -> None:
    """Write the files, and print their paths.

    Args:
        dataset (BrowseDataset): The data set.
        out_dir (Path): The folder to write to.
        style (str): 'gif', a file for each sequence, or 'html', one page.
        title (str): Title and file name of the page.
        view (tuple): Azimuth and elevation in degrees.
        seed (int): As in :meth:`BrowseDataset.animate`. Defaults to 0.
    """
    animations, written = [], []
    try:
        with Progress(console=Console(stderr=True), transient=True,
                      disable=not sys.stderr.isatty()) as progress:
            for index in progress.track(dataset.indices,
                                        description='sequences'):
                animation = dataset.animate(index, seed)
                if style == 'html':
                    animations.append(animation)
                    continue
                name = re.sub(r'[^\w.-]+', '_', animation.name)
                path = out_dir / f'{name}.gif'
                if path in written:  # the name occurs twice
                    path = out_dir / f'{name}_{index}.gif'
                write_gif(path, animation, dataset.layout, view)
                written.append(path)
        if style == 'html':
            path = out_dir / f'{title}.html'
            write_html(path, title, animations, dataset.layout, view)
            written.append(path)
    finally:
        for path in written:
            print(path)


def positive(text: str) -> int:
    """A number from 1."""
    if int(text) < 1:
        raise ValueError
    return int(text)


def parse_args(args: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--split', choices=['train', 'val', 'test'],
                        default='train', help='default: train')
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--names', nargs='+', metavar='NAME',
                       help='sequences to show (frame_dir)')
    which.add_argument('--num', type=positive, default=8,
                       help='number of sequences, drawn at random; default: '
                       '8')
    parser.add_argument('--seed', type=int, default=0,
                        help='of that draw and of random transforms; '
                        'default: 0')
    parser.add_argument('--out-dir', type=Path, default=Path('browse'),
                        help='default: browse')
    parser.add_argument('--format', choices=['gif', 'html'], default='gif',
                        help='a GIF for each sequence, or one HTML page with '
                        'a player; default: gif')
    parser.add_argument('--view', type=view_type, default='front',
                        help='front, side, back, top, oblique, or '
                        'AZIMUTH,ELEVATION in degrees (--view=-35,15), of 3D '
                        'data; default: front')
    parser.add_argument('--layout', help='name or JSON file of the skeleton '
                        "layout; default: that of the config's model")
    parser.add_argument('--streams', action='store_true',
                        help='show what the data preprocessor of the model '
                        'makes of it as well')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
        help='override entries of the config; lists as key="[a,b]"')
    return parser.parse_args(args)


def main() -> None:
    args = parse_args()
    logging.disable(logging.WARNING)  # MMEngine logs to stdout
    try:
        cfg = Config.fromfile(args.config)
        cfg.merge_from_dict(args.cfg_options or {})
        dataset = BrowseDataset(
            cfg, args.split, args.layout and read_layout(args.layout),
            args.streams, args.names, args.num, args.seed)
        title = f'{Path(args.config).stem}_{args.split}'
        browse(dataset, args.out_dir, args.format, title, args.view,
               args.seed)
    except (OSError, ValueError, pickle.UnpicklingError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
