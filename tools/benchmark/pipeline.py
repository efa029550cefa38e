"""Compare the speed and memory of the data pipeline with MMAction2's own."""
import argparse
import json
import logging
import pickle
import re
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from timeit import default_timer, repeat

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
PIPELINES = dict(stock=('PoseDataset', STOCK), ours=('SkeletonDataset', OURS),
                 published=('SkeletonDataset', PUBLISHED))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        description='Time data pipelines in one process, on generated '
        'sequences as long as those of NTU RGB+D: "stock" is MMAction2\'s, '
        '"ours" gives the same clips, "published" is the recipe of the '
        'published results. Then measure the memory of a data set with the '
        'workers of its loader (Linux only), in bytes for each byte of data.',
        epilog='example: python -m tools.benchmark.pipeline --out out.json')
    parser.add_argument('--sequences', type=int, default=500)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--memory-sequences', type=int, default=20000,
                        help='0 leaves the memory out')
    parser.add_argument('--workers', type=int, default=4)
    parser.add_argument('--out', type=Path, help='JSON file to write')
    return parser.parse_args()


def make_file(path: Path, num: int) -> int:
    """Write training and as many test sequences; returns bytes of a split."""
    import numpy as np
    rng = np.random.default_rng(0)
    annotations = [dict(
        frame_dir=str(index), label=index % 60, total_frames=frames,
        keypoint=rng.normal(size=(1 + index % 2, frames, 25, 3)).astype('f4'))
        for index, frames in enumerate(rng.integers(20, 150, 2 * num))]
    names = [item['frame_dir'] for item in annotations[:num]]
    path.write_bytes(pickle.dumps(dict(
        split=dict(train=names), annotations=annotations), protocol=4))
    return sum(item['keypoint'].nbytes for item in annotations[:num])


def build(name: str, path: Path):
    """The training set of a pipeline."""
    from mmaction.registry import DATASETS
    from mmengine.registry import init_default_scope

    import projects.stdcl  # noqa: F401
    logging.disable(logging.WARNING)
    init_default_scope('mmaction')
    kind, steps = PIPELINES[name]
    return DATASETS.build(dict(type=kind, ann_file=str(path), split='train',
                               pipeline=steps))


def measure_speed(path: Path, repeats: int) -> dict:
    """Sequences a second of each pipeline, seconds of each transform."""
    import numpy as np
    from mmaction.registry import TRANSFORMS

    from .timing import spread
    rates, seconds, clips = {}, {}, {}
    raw = build('stock', path)
    for name, (_, steps) in PIPELINES.items():
        data = build(name, path)
        np.random.seed(0)
        clips[name] = [sample['inputs'] for sample in data]
        rates[name] = spread([len(data) / taken for taken in repeat(
            lambda data=data: list(data), number=1, repeat=repeats)])
        infos = list(map(raw.get_data_info, range(len(raw))))
        seconds[name] = {}
        for step in steps:
            start = default_timer()
            infos = list(map(TRANSFORMS.build(step), infos))
            seconds[name][step['type']] = spread(
                [(default_timer() - start) / len(raw)])
    return dict(
        sequences=len(raw), repeats=repeats, seconds=seconds,
        sequences_per_second=rates, difference=max(
            float((a - b).abs().max()) for a, b in zip(clips['stock'],
                                                       clips['ours'])),
        times_faster={key: rates['ours'][key] / rates['stock'][key]
                      for key in rates['ours']})


def used_memory(name: str, path: Path, workers: int) -> dict:
    """Bytes after an epoch, workers included, and peak of this process."""
    from mmengine.dataset import pseudo_collate
    from torch.utils.data import DataLoader

    from .timing import process_memory
    loader = DataLoader(build(name, path), batch_size=16, num_workers=workers,
                        persistent_workers=True, collate_fn=pseudo_collate)
    list(map(len, loader))  # an epoch
    pids = ['self', *(worker.pid for worker in loader._iterator._workers)]
    maps = [Path(f'/proc/{pid}/smaps_rollup').read_text() for pid in pids]
    return dict(peak=process_memory('VmHWM'), total=1024 * sum(
        int(re.search(r'\nPss: +(\d+)', text)[1]) for text in maps))


def measure_memory(folder: Path, num: int, workers: int) -> dict:
    """Growth of memory for each byte of data, from a small file to a large."""
    sizes = [make_file(folder / f'{count}.pkl', count) for count in (100, num)]
    growth = dict(sequences=num, data_bytes=sizes[1], workers=workers)
    for name, kind in (('stock', 'PoseDataset'), ('ours', 'SkeletonDataset')):
        used = []
        for count in (100, num):  # each in a process of its own
            with ProcessPoolExecutor(1, get_context('spawn')) as pool:
                used.append(pool.submit(used_memory, name, folder / (
                    f'{count}.pkl'), workers).result())
        growth[kind] = {what: (used[1][what] - used[0][what])
                        / (sizes[1] - sizes[0]) for what in used[0]}
    return growth


def main() -> None:
    args = parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'data.pkl')
        make_file(path, args.sequences)
        record = measure_speed(path, args.repeats)
        if args.memory_sequences and Path('/proc/self/smaps_rollup').exists():
            record['memory'] = measure_memory(
                Path(folder), args.memory_sequences, args.workers)
    text = json.dumps(record, indent=1)
    print(text)
    if args.out:
        args.out.write_text(text + '\n')


if __name__ == '__main__':
    main()
