"""Time the data pipeline against MMAction2's own, in one process.

Made sequences with the lengths of NTU, 25 joints, one or two persons, the
bone stream and clips of 100 frames: per transform, and whole from the data set
to the packed clip, which is first checked to be the same. Then the pipeline of
the published results (64 frames), ours alone; and the memory of a data set and
its loader's workers, as the growth per byte of coordinates (proportional set
size of all processes, Linux only).

Example:
    python tools/benchmark/pipeline.py --out pipeline.json
"""
import argparse
import json
import logging
import os
import os.path as osp
import pickle
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')  # one process, one thread

import numpy as np
import torch
from timing import spread

sys.path.insert(0, osp.dirname(osp.dirname(osp.dirname(
    osp.abspath(__file__)))))

from mmaction.registry import DATASETS, TRANSFORMS
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader

import projects.stdcl  # noqa: F401

STOCK = [dict(type='PreNormalize3D'), dict(type='GenSkeFeat', feats=['b']),
         dict(type='UniformSampleFrames', clip_len=100)]
OURS = [{**step, 'type': f'Fast{step["type"]}'} for step in STOCK]
PUBLISHED = [dict(type='DropEmptyFrames'), dict(type='CenterOnJoint'),
             dict(type='CropResize', clip_len=64), dict(type='RandomRotation')]
PACK = [dict(type='FormatGCNInput', num_person=2),
        dict(type='PackActionInputs')]
DECODE_AND_PACK = [dict(type='PoseDecode'), *PACK]


def make_file(path: Path, num: int) -> int:
    """Write an annotation file; returns the bytes of its training split.

    ``num`` sequences are for training, and as many others there as in NTU
    RGB+D 120 X-Sub.
    """
    rng = np.random.default_rng(0)
    annotations = []
    for index in range(num + num * 50919 // 63026):
        frames = int(np.clip(rng.normal(85, 35), 20, 300))
        keypoint = rng.normal(size=(1 + (rng.random() < 0.2), frames, 25, 3))
        keypoint[-1, :int(rng.integers(0, 8))] = 0  # comes later
        annotations.append(dict(
            frame_dir=f'{index:06d}', label=index % 60, total_frames=frames,
            keypoint=keypoint.astype(np.float32)))
    train = annotations[:num]
    with open(path, 'wb') as file:
        pickle.dump(dict(
            split=dict(train=[item['frame_dir'] for item in train]),
            annotations=annotations), file, protocol=4)
    return sum(item['keypoint'].nbytes for item in train)


def time_transforms(dataset, steps: list) -> dict:
    """Mean seconds of each transform, run one after another."""
    transforms = [TRANSFORMS.build(step) for step in steps]
    seconds = {step['type']: 0. for step in steps}
    for index in range(len(dataset)):
        results = dataset.get_data_info(index)
        for step, transform in zip(steps, transforms):
            start = time.perf_counter()
            results = transform(results)
            seconds[step['type']] += time.perf_counter() - start
    return {name: taken / len(dataset) for name, taken in seconds.items()}


def rate(dataset) -> float:
    """Sequences a second."""
    start = time.perf_counter()
    for index in range(len(dataset)):
        dataset[index]
    return len(dataset) / (time.perf_counter() - start)


def difference(stock, ours) -> float:
    """Largest difference between the clips of two data sets."""
    largest = 0.
    for index in range(len(stock)):
        np.random.seed(index)
        expected = stock[index]['inputs']
        np.random.seed(index)
        largest = max(largest, float(
            (ours[index]['inputs'] - expected).abs().max()))
    return largest


def time_pipelines(path: str, repeats: int) -> dict:
    """The times of all pipelines, in turn."""
    where = dict(ann_file=path, split='train')
    stock = DATASETS.build(dict(
        type='PoseDataset', **where, pipeline=STOCK + DECODE_AND_PACK))
    start = time.perf_counter()
    ours = DATASETS.build(dict(
        type='SkeletonDataset', **where, prepare=OURS[:2],
        pipeline=OURS[2:] + DECODE_AND_PACK))
    built = time.perf_counter() - start
    published = DATASETS.build(dict(
        type='SkeletonDataset', **where, prepare=PUBLISHED[:2],
        pipeline=PUBLISHED[2:] + PACK))

    transforms = dict(stock=STOCK + DECODE_AND_PACK,
                      ours=OURS + DECODE_AND_PACK,
                      published=PUBLISHED + PACK)
    each = {name: {step['type']: [] for step in steps}
            for name, steps in transforms.items()}
    whole = {name: [] for name in transforms}
    for repeat in range(repeats + 1):  # the first is a warm-up
        for name, dataset in dict(stock=stock, ours=ours,
                                  published=published).items():
            taken = rate(dataset)
            parts = time_transforms(stock, transforms[name])
            if repeat:
                whole[name].append(taken)
                for step, seconds in parts.items():
                    each[name][step].append(seconds)
    return dict(
        sequences=len(stock), difference=difference(stock, ours),
        seconds_to_read_and_prepare=built,
        sequences_per_second={name: spread(taken)
                              for name, taken in whole.items()},
        times_faster=spread([a / b for a, b in zip(whole['ours'],
                                                   whole['stock'])]),
        seconds={name: {step: spread(taken) for step, taken in steps.items()}
                 for name, steps in each.items()})


def proportional_set_size() -> int:
    """Bytes of this process and its children, shared ones divided."""
    pids = subprocess.run(['pgrep', '-P', str(os.getpid())],
                          capture_output=True, text=True).stdout.split()
    total = 0
    for pid in [os.getpid(), *pids]:
        try:
            lines = Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()
        except OSError:  # pgrep itself
            continue
        total += sum(int(line.split()[1]) for line in lines
                     if line.startswith('Pss:'))
    return 1024 * total


def show_memory(kind: str, path: str, workers: int) -> None:
    """Print the memory at the end of an epoch, and the peak of this process.

    Run in a process of its own.
    """
    pipeline = STOCK[2:] + DECODE_AND_PACK
    dataset = DATASETS.build(dict(type=kind, ann_file=path, split='train',
                                  pipeline=pipeline))
    loader = DataLoader(dataset, batch_size=16, num_workers=workers,
                        persistent_workers=True, collate_fn=pseudo_collate)
    for _ in loader:
        pass
    status = Path('/proc/self/status').read_text()
    peak = int(status.split('VmHWM:')[1].split()[0]) * 1024
    print(json.dumps(dict(total=proportional_set_size(), peak=peak)))


def measure_memory(folder: Path, num: int, workers: int) -> dict:
    """Growth of memory per byte of data, from a small file to a large one."""
    sizes = {count: make_file(folder / f'{count}.pkl', count)
             for count in (100, num)}
    growth = dict(sequences=num, data_bytes=sizes[num], workers=workers)
    for kind in ('PoseDataset', 'SkeletonDataset'):
        small, large = (json.loads(subprocess.run(
            [sys.executable, __file__, '--show-memory', kind,
             str(folder / f'{count}.pkl'), str(workers)],
            capture_output=True, text=True,
            check=True).stdout.splitlines()[-1]) for count in sizes)
        data = sizes[num] - sizes[100]
        growth[kind] = {what: (large[what] - small[what]) / data
                        for what in small}
    return growth


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n\n')[0],
        epilog='example: python tools/benchmark/pipeline.py --out '
        'pipeline.json')
    parser.add_argument('--sequences', type=int, default=500)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--memory-sequences', type=int, default=20000,
                        help='0 leaves the memory out; default: 20000')
    parser.add_argument('--workers', type=int, default=4,
                        help="of the loader whose memory is measured")
    parser.add_argument('--out', type=Path, help='JSON file to write')
    parser.add_argument('--show-memory', nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    init_default_scope('mmaction')
    if args.show_memory:
        kind, path, workers = args.show_memory
        show_memory(kind, path, int(workers))
        return
    record = dict(processor=platform.machine(), threads=1,
                  cores=os.cpu_count(), torch=torch.__version__,
                  numpy=np.__version__, repeats=args.repeats)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'data.pkl'
        make_file(path, args.sequences)
        record.update(time_pipelines(str(path), args.repeats))
        if args.memory_sequences and sys.platform == 'linux':
            record['memory'] = measure_memory(
                Path(folder), args.memory_sequences, args.workers)
    print(json.dumps(record, indent=1))
    if args.out:
        args.out.write_text(json.dumps(record, indent=1) + '\n')


if __name__ == '__main__':
    main()
