"""Compare the data pipeline with MMAction2's own, in one process.

Synthetic sequences as long as those of NTU, 25 joints, one or two persons.
Times the transforms, and the way from the data set to the packed clip; clips
of MMAction2's recipe are checked to be the same. On Linux, also measures the
memory of a training set with the workers of its loader (the proportional set
size of all processes) for each byte of coordinates.

example: python -m tools.benchmark.pipeline
"""
import logging
import pickle
import re
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tools.benchmark import timing

PACK = [dict(type='FormatGCNInput', num_person=2),
        dict(type='PackActionInputs')]
STOCK = [dict(type='PreNormalize3D'),
         dict(type='UniformSampleFrames', clip_len=100),
         dict(type='PoseDecode'), *PACK]
OURS = [dict(type='FastPreNormalize3D'),
        dict(type='FastUniformSampleFrames', clip_len=100), *STOCK[2:]]
PUBLISHED = [dict(type='DropEmptyFrames'), dict(type='CenterOnJoint'),
             dict(type='CropResize', clip_len=64), dict(type='RandomRotation'),
             *PACK]


def make_file(path: Path, num: int) -> int:
    """Write training and as many test sequences; returns bytes of a split."""
    import numpy as np
    rng = np.random.default_rng(0)
    annotations = [dict(
        frame_dir=str(index), label=index % 60, total_frames=int(frames),
        keypoint=rng.normal(size=(1 + index % 2, frames, 25, 3)).astype('f4'))
        for index, frames in enumerate(rng.integers(20, 150, 2 * num))]
    names = [item['frame_dir'] for item in annotations[:num]]
    path.write_bytes(pickle.dumps(dict(
        split=dict(train=names), annotations=annotations), protocol=4))
    return sum(item['keypoint'].nbytes for item in annotations[:num])


def build(kind: str, path: Path, pipeline: list):
    """A training set."""
    from mmaction.registry import DATASETS
    from mmengine.registry import init_default_scope

    import projects.stdcl  # noqa: F401
    logging.disable(logging.WARNING)
    init_default_scope('mmaction')
    return DATASETS.build(dict(type=kind, ann_file=str(path), split='train',
                               pipeline=pipeline))


def time_recipes(path: Path, repeats: int) -> list:
    """Sequences a second, from the data set to the packed clip."""
    import numpy as np
    ours = build('SkeletonDataset', path, OURS)
    stock = build('PoseDataset', path, STOCK)
    clips = []
    for data in (ours, stock):
        np.random.seed(0)
        clips.append([sample['inputs'] for sample in data])
    published = build('SkeletonDataset', path, PUBLISHED)
    seconds = timing.in_turn(
        dict(ours=lambda: list(ours), stock=lambda: list(stock),
             published=lambda: list(published)), repeats)
    rate = {name: timing.spread([len(ours) / one for one in taken])
            for name, taken in seconds.items()}
    return [{
        'recipe': "MMAction2's recipe, 100 frames",
        'sequences a second, ours': rate['ours'], "MMAction2's": rate['stock'],
        'times faster': timing.ratio(seconds['stock'], seconds['ours']),
        'largest difference': max(
            float((a - b).abs().max()) for a, b in zip(*clips)),
        'sequences': len(ours), 'repeats': repeats,
    }, {
        'recipe': 'published recipe, 64 frames',
        'sequences a second, ours': rate['published'],
        'sequences': len(ours), 'repeats': repeats}]


def time_transforms(path: Path, repeats: int) -> list:
    """Microseconds of each transform for a sequence."""
    from mmaction.registry import TRANSFORMS

    def run(transform, batch: list) -> list:
        return [transform(dict(item)) for item in batch]

    rows, (stock, ours) = [], [list(build('PoseDataset', path, []))] * 2
    for steps in zip(STOCK, OURS):
        theirs, mine = map(TRANSFORMS.build, steps)
        seconds = timing.in_turn({
            "µs, MMAction2's": partial(run, theirs, stock),
            'µs, ours': partial(run, mine, ours)}, repeats)
        rows.append({
            'transform': steps[0]['type'],
            **{name: timing.spread(taken, 1e6 / len(ours))
               for name, taken in seconds.items()},
            'runs': ('once' if getattr(mine, 'cacheable', False)
                     else 'each epoch'), 'repeats': repeats})
        stock, ours = run(theirs, stock), run(mine, ours)
    return rows


def used_memory(kind: str, path: Path, workers: int) -> list:
    """Bytes after an epoch, workers included, and peak of this process."""
    from mmengine.dataset import pseudo_collate
    from torch.utils.data import DataLoader
    data = build(kind, path, STOCK[1:])
    loader = DataLoader(data, batch_size=16, num_workers=workers,
                        persistent_workers=True, collate_fn=pseudo_collate)
    list(map(len, loader))  # an epoch
    pids = ['self', *(worker.pid for worker in loader._iterator._workers)]
    maps = [Path(f'/proc/{pid}/smaps_rollup').read_text() for pid in pids]
    return [1024 * sum(int(re.search(r'\nPss: +(\d+)', text)[1])
                       for text in maps), timing.process_memory('VmHWM')]


def measure_memory(folder: Path, num: int, workers: int) -> list:
    """Growth of memory from a small file to a large one."""
    files = [folder / f'{count}.pkl' for count in (100, num)]
    small, large = map(make_file, files, (100, num))
    rows = []
    for kind in ('SkeletonDataset', 'PoseDataset'):
        used = []
        for path in files:  # each in a process of its own
            with ProcessPoolExecutor(1, get_context('spawn')) as pool:
                used.append(pool.submit(used_memory, kind, path,
                                        workers).result())
        training, peak = (round((b - a) / (large - small), 2)
                          for a, b in zip(*used))
        rows.append({
            'data set class': kind,
            'bytes per byte of data, training': training,
            'while the file is read': peak, 'sequences': num,
            'workers': workers})
    return rows


def main() -> None:
    parser = timing.make_parser(__doc__, 5)
    parser.add_argument('--sequences', type=int, default=500,
                        help='sequences to time; default: 500')
    parser.add_argument('--memory-sequences', type=int, default=20000,
                        help='sequences in memory, 0 for none; default: 20000')
    parser.add_argument('--workers', type=int, default=4,
                        help='workers of the loader; default: 4')
    args = timing.parse_args(parser)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, 'data.pkl')
        make_file(path, args.sequences)
        timing.save(args.out / 'pipeline.csv',
                    time_recipes(path, args.repeats), ['recipe'])
        timing.save(args.out / 'transforms.csv',
                    time_transforms(path, args.repeats), ['transform'])
        if args.memory_sequences and timing.STATUS.is_file():
            timing.save(args.out / 'pipeline_memory.csv', measure_memory(
                Path(name), args.memory_sequences, args.workers),
                ['data set class'])


if __name__ == '__main__':
    main()
