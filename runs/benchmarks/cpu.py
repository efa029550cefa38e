"""Time training, inference, the loss, the banks and the pipeline on a CPU.

Functions that are compared take turns in one process. With one thread, the
times are CPU times; with more, they are wall times. Each of the parts
training_step, step_memory, compile, bfloat16, inference, blockgcn_topology,
loss, banks, pipeline, loader and start writes a table. A second call keeps the
rows of the same commit, and replaces older rows. Use an idle machine
(step_memory: 20 GiB):

    python -m runs.benchmarks.cpu --threads 1 2
"""
import argparse
import os
import pickle
import platform
import subprocess
import sys
import time
from functools import partial
from itertools import accumulate, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable, Dict, List

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from mmaction.datasets import transforms
from mmaction.registry import DATASETS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from torch.profiler import profile
from torch.utils.data import DataLoader

import projects.stdcl  # noqa: F401 (registers the transforms)
from projects.stdcl.catalogue import ENCODERS, find_config
from projects.stdcl.datasets import packed_collate
from projects.stdcl.models import CrossSequenceContrastiveLoss, STDCLHead
from projects.stdcl.models.backbones.blockgcn import (
    joint_distances,
    spanning_tree_lengths,
)
from projects.stdcl.utils import environment
from projects.stdcl.utils.atomic_write import atomic_write
from runs.benchmarks.training_step import TrainingStep, fill_banks
from tests.twins.contrastive_loss import contrastive_loss
from tests.twins.encoders import Size, for_twin, twin

TITLES = {name: encoder.title for name, encoder in ENCODERS.items()}
TITLES['stgcn++'] = 'ST-GCN++ (MMAction2)'
WIDTHS = {'published': 'nw-ucla-xview', 'narrow': 'synthetic'}
PRODUCTS = r'aten::(\w*mm|mkldnn_conv\w+|_slow_conv\w+|convolution_backward)'
# products, ranking, and reading the selected features
NEEDED = r'aten::(\w*mm|topk|amax|_embedding_bag_forward_only)'
RANKING = r'aten::(topk|amax)'
# slots, classes, batch size: NW-UCLA (five slots per sequence), NTU60, NTU120
SIZES = (5100, 10, 16), (40091, 60, 64), (63026, 120, 64)
NUMBERS = 10**4, 10**5, 10**6, 10**7, 10**8  # sequences in the banks
BANKS = {'full': dict(type='MemoryBank'),
         'full, float16': dict(type='MemoryBank', dtype='float16'),
         'class-balanced': dict(type='ClassBalancedMemoryBank')}
COMMANDS = {  # the shortest runs, of a recording and of one training step
    'tools/demo.py': 'tools/demo.py --out-dir',
    'tools/train.py': 'tools/train.py configs/stdcl/stdcl-hcn_synthetic.py '
    '--no-validate --cfg-options train_cfg.max_epochs=1 '
    'train_dataloader.dataset.num_sequences=16 --work-dir'}


def add(path: Path, command: str, key: Dict, function: Callable,
        *args) -> None:
    """Add a row to a table, unless it contains one of the same commit."""
    key = {name: str(value) for name, value in key.items()}
    commit = environment.current_commit()['commit'] or 'unknown'
    table = pd.read_csv(path, dtype=str) if path.is_file() else (
        pd.DataFrame(columns=[*key, 'commit']))
    same = (table[list(key)] == pd.Series(key)).all(axis=1)
    if commit in set(table.commit[same]):
        return
    row = {**key, **function(*args), 'commit': commit,
           'command': f'python -m runs.benchmarks.{command} --threads 1 2',
           'machine': f'{os.cpu_count()} {platform.machine()} cores',
           'versions': f'torch={torch.__version__}'}
    print(row, flush=True)
    with atomic_write(path) as partial:
        pd.concat([table[~same], pd.DataFrame([row])]).to_csv(partial,
                                                              index=False)


def take_turns(repeats: int, clock: Callable = None,
               **functions: Callable) -> pd.DataFrame:
    """Return the times of functions in ms, one row per turn.

    ``clock`` returns seconds. It defaults to the CPU time of this process with
    one thread, and to the wall time with more.
    """
    clock = clock or (time.process_time if torch.get_num_threads() == 1
                      else time.perf_counter)
    times = pd.DataFrame(columns=list(functions), dtype=float)
    for turn, name in product(range(repeats + 1), functions):
        start = clock()
        functions[name]()
        times.loc[turn, name] = 1e3 * (clock() - start)
    return times[1:]  # the first turn warms up


def spread(columns: Dict[str, pd.Series]) -> Dict[str, str]:
    """Return the median, minimum and maximum of columns, and their length."""
    table = pd.DataFrame(columns)
    return {f'{name}.{end}': np.format_float_positional(
        table[name].agg(end), precision=3, fractional=False, trim='-')
            for name in table for end in ('median', 'min', 'max')
            } | {'repeats': str(len(table))}


def make_steps(encoder: str, benchmark: str, *size: int) -> List[TrainingStep]:
    """Return two training steps, without and with STD-CL."""
    steps = []
    for stdcl in (False, True):
        cfg = Config.fromfile(find_config(
            encoder.removesuffix('++'), benchmark, stdcl))
        if encoder == 'stgcn++':  # the options in MMAction2's config
            cfg.model.backbone.update(gcn_adaptive='init', gcn_with_res=True,
                                      tcn_type='mstcn')
            cfg.model.backbone.graph_cfg.mode = 'spatial'
        steps.append(TrainingStep(cfg, *size))
        steps[-1].cfg = cfg.model
    return steps


def time_step(encoder: str, benchmark: str, repeats: int) -> Dict:
    """Time a training step, and find the share of its matrix products."""
    plain, stdcl = make_steps(encoder, benchmark)
    steps = dict(plain=plain, stdcl=stdcl)
    if encoder in ('ctrgcn', 'hyperformer', 'hcn'):
        clips, labels = for_twin(plain.batch[0][:, 0]), plain.batch[1]
        _, channels, frames, _, persons = clips.shape
        model = twin(TITLES[encoder], Size(
            plain.cfg.data_preprocessor.layout, persons, frames, channels,
            plain.head.num_classes, plain.cfg.backbone.get('base_channels')))
        steps['twin'] = lambda: F.cross_entropy(
            model(clips), labels).backward()
    ms = take_turns(repeats, **steps)
    row = {'ms, plain': ms.plain, 'ms, STD-CL': ms.stdcl,
           'added, %': 100 * (ms.stdcl / ms.plain - 1)}
    if 'twin' in ms:
        row |= {'ms, twin': ms.twin, 'twin : plain': ms.twin / ms.plain}
    return {'products, % of plain': share(plain, PRODUCTS), **spread(row)}


def share(function: Callable, names: str) -> str:
    """Return the share of the operations that match ``names``, in percent."""
    with profile() as profiler:
        function()
    costs = pd.Series({event.key: event.self_cpu_time_total
                       for event in profiler.key_averages()})
    matching = costs.filter(regex=f'^{names}$')
    return f'{100 * matching.sum() / costs.sum():.0f}'


def time_compiled(encoder: str, benchmark: str, repeats: int) -> Dict:
    """Time a training step after torch.compile, and the compilation."""
    plain, compiled = (make_steps(encoder, benchmark)[0] for _ in range(2))
    compiled.loss = torch.compile(compiled.loss)
    start = time.perf_counter()
    compiled()
    seconds = time.perf_counter() - start
    ms = take_turns(repeats, plain=plain, compiled=compiled)
    return {'s, compilation': f'{seconds:.0f}', **spread({
        'ms, plain': ms.plain, 'ms, compiled': ms.compiled,
        'plain : compiled': ms.plain / ms.compiled})}


def time_bfloat16(encoder: str, benchmark: str, repeats: int) -> Dict:
    """Time a training step with automatic mixed precision."""
    step = make_steps(encoder, benchmark)[0]

    def mixed():
        with torch.autocast('cpu', torch.bfloat16):
            step()

    ms = take_turns(repeats, plain=step, mixed=mixed)
    return spread({'ms, float32': ms.plain, 'ms, bfloat16': ms.mixed,
                   'float32 : bfloat16': ms.plain / ms.mixed})


@torch.no_grad()
def time_inference(encoder: str, benchmark: str, repeats: int) -> Dict:
    """Time the classification of one clip with the same weights."""
    plain, stdcl = make_steps(encoder, benchmark, 1)
    stdcl.model.load_state_dict(plain.model.state_dict(), strict=False)

    def classify(step):
        model = step.model.eval()
        clip = model.data_preprocessor.make_stream(plain.batch[0])
        return step.head(model.extract_feat(clip)[0])

    assert torch.equal(classify(plain), classify(stdcl))
    ms = take_turns(repeats, plain=lambda: classify(plain),
                    stdcl=lambda: classify(stdcl))
    return spread({'ms, plain': ms.plain, 'ms, STD-CL': ms.stdcl,
                   'STD-CL : plain': ms.stdcl / ms.plain})


def time_topology(benchmark: str, repeats: int) -> Dict:
    """Time BlockGCN's spanning trees relative to a training step."""
    step = make_steps('blockgcn', benchmark)[0]
    joints = step.batch[0][:, 0, ..., -3:]
    ms = take_turns(repeats, step=step, trees=lambda: spanning_tree_lengths(
        joint_distances(joints)))
    return spread({'ms, step': ms.step, 'ms, spanning trees': ms.trees,
                   'share, %': 100 * ms.trees / ms.step})


def peak(function: Callable) -> float:
    """Return the peak size of the tensors that a function creates, in MiB."""
    function()
    with profile(profile_memory=True) as profiler:
        function()
    events = sorted(profiler.profiler.kineto_results.events(),
                    key=lambda event: event.start_ns())
    return max(accumulate(event.nbytes() for event in events
                          if event.name() == '[memory]')) / 2**20


def measure_memory(encoder: str, batch: int) -> Dict:
    """Measure the memory of a training step on NTU60 X-Sub."""
    plain, stdcl = make_steps(encoder, 'ntu60-xsub', batch, 40091)
    sizes = [peak(step) for step in (plain, stdcl)]
    return {'MiB, plain': f'{sizes[0]:.0f}', 'MiB, STD-CL': f'{sizes[1]:.0f}',
            'added, %': f'{100 * (sizes[1] / sizes[0] - 1):.1f}'}


def time_loss(slots: int, classes: int, batch: int, repeats: int) -> Dict:
    """Time the forward and backward pass of the loss of one bank."""
    bank, labels = F.normalize(torch.randn(slots, 256)), torch.arange(slots)
    labels, own = labels % classes, torch.randperm(slots)[:batch]
    anchors = F.normalize(bank[own] + torch.randn(batch, 256) / 20)
    arguments = anchors.requires_grad_(), labels[own], own, bank, labels
    largest = labels.bincount().max().item()
    loss = CrossSequenceContrastiveLoss()

    def step():
        loss(*arguments, largest)[0].backward()

    ms = take_turns(
        repeats, ours=step,
        product=lambda: bank @ anchors.detach().T,
        published=lambda: contrastive_loss(
            *arguments, 128, 512, 0.8)[0].backward())
    return {'needed, % of ours': share(step, NEEDED),
            'ranking, % of ours': share(step, RANKING)} | spread({
        'ms, ours': ms.ours, 'ms, matrix product alone': ms['product'],
        'ours : product': ms.ours / ms['product'], 'ms, published algorithm':
        ms.published, 'published : ours': ms.published / ms.ours})


def time_banks(kind: str, sequences: int, repeats: int) -> Dict:
    """Compute the size of the banks, and time the contrast in a step."""
    head = STDCLHead(60, 64, decoupler=dict(type='AttentiveDecoupler'),
                     memory_bank=BANKS[kind],
                     loss_contrast=dict(type='CrossSequenceContrastiveLoss'))
    bank = head.spatial_bank.to('meta')  # allocates no memory
    bank.resize(sequences, 60)
    size = sum(getattr(bank, name).nbytes for name in bank.STATE)
    row = {'slots': str(len(bank)),
           'two banks, GiB': f'{2 * size / 2**30:.3g}'}
    if len(bank) > 10**6:
        return row
    bank.to_empty(device='cpu')
    head.resize_banks(sequences, -(-sequences // 60))
    fill_banks(head, sequences)
    for batch in (16, 64):
        feats, indices = torch.rand(batch, 1, 64, 16, 25), torch.arange(batch)

        def step(arguments=(feats, indices % 60, indices)):
            losses = head.contrast(*arguments)
            (losses['loss_spatial'] + losses['loss_temporal']).backward()

        ms = take_turns(repeats, step=step)
        row |= spread({f'ms, batch {batch}': ms.step})
    return {**row, 'MiB of a step': f'{peak(step):.0f}'}


def time_pipeline(clip_len: int, repeats: int) -> Dict:
    """Time our transforms and MMAction2's on 500 clips as long as NTU's."""
    rng = np.random.default_rng(0)
    annotations = [dict(
        frame_dir=str(index), label=0, total_frames=frames,
        keypoint=rng.normal(size=(1 + index % 2, frames, 25, 3)).astype('f4'))
        for index, frames in enumerate(rng.integers(20, 150, 500).tolist())]
    with TemporaryDirectory() as folder:
        path = Path(folder, 'ntu.pkl')
        path.write_bytes(pickle.dumps(annotations))
        data = {name: DATASETS.build(dict(
            type=kind, ann_file=str(path), pipeline=[
                dict(type=normalize),
                dict(type=sample, clip_len=clip_len), dict(type='PoseDecode'),
                dict(type=pack, num_person=2), dict(type='PackActionInputs')]))
                for name, kind, normalize, sample, pack in (
                    ('ours', 'SkeletonDataset', 'PreNormalize3D',
                     'FastUniformSampleFrames', 'FormatGCNInput'),
                    ('mmaction2', 'PoseDataset', transforms.PreNormalize3D,
                     transforms.UniformSampleFrames,
                     transforms.FormatGCNInput))}
    clips = []
    for dataset in data.values():
        np.random.seed(0)
        clips.append(torch.stack([item['inputs'] for item in dataset]))
    torch.testing.assert_close(*clips)
    ms = take_turns(repeats, **{name: partial(list, dataset)
                                for name, dataset in data.items()})
    return spread({'ms, ours': ms.ours, "ms, MMAction2's": ms.mmaction2,
                   "MMAction2's : ours": ms.mmaction2 / ms.ours})


def time_loader(batch: int, repeats: int) -> Dict:
    """Time how long a process waits for batches that two workers have ready.

    The clips have the size of NTU's, two persons in 64 frames.
    """
    samples = [dict(inputs=torch.rand(1, 2, 64, 25, 3),
                    data_samples=ActionDataSample().set_gt_label(0))
               for _ in range(batch * (repeats + 1))]
    ours, theirs = (iter(DataLoader(samples, batch, num_workers=2,
                                    collate_fn=collate))
                    for collate in (packed_collate, pseudo_collate))
    ready = partial(time.sleep, 0.5)
    ms = take_turns(repeats, time.perf_counter, wait=ready,
                    ours=partial(next, ours), again=ready,
                    theirs=partial(next, theirs))
    return spread({'ms, ours': ms.ours, "ms, MMEngine's": ms.theirs,
                   "MMEngine's : ours": ms.theirs / ms.ours})


def time_start(command: str, repeats: int) -> Dict:
    """Time a command, and the imports of PyTorch and MMEngine alone."""
    with TemporaryDirectory() as folder:
        commands = {
            'command': [*command.split(), folder],
            'imports': ['-c', 'import torch, mmengine.runner']}
        ms = take_turns(repeats, time.perf_counter, **{
            name: partial(subprocess.run, [sys.executable, *arguments],
                          check=True, capture_output=True)
            for name, arguments in commands.items()})
    return spread({'s, command': ms.command / 1e3, 's, imports alone':
                   ms.imports / 1e3, 'command : imports':
                   ms.command / ms.imports})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--parts', nargs='+', help='default: all parts')
    parser.add_argument('--encoders', nargs='+', default=TITLES)
    parser.add_argument('--threads', nargs='+', type=int, default=[1])
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--out', type=Path, default=Path(__file__).parent)
    args = parser.parse_args()
    init_default_scope('mmaction')
    rows = dict(
        training_step=[(dict(encoder=TITLES[name], width=width), time_step,
                        name, WIDTHS[width], args.repeats)
                       for name in args.encoders for width in WIDTHS],
        step_memory=[(dict(encoder=TITLES[name], clips=64), measure_memory,
                      name, 64) for name in args.encoders],
        compile=[(dict(encoder=TITLES[name], width='narrow'), time_compiled,
                  name, WIDTHS['narrow'], args.repeats)
                 for name in args.encoders],
        bfloat16=[(dict(encoder=TITLES[name], width='narrow'), time_bfloat16,
                   name, WIDTHS['narrow'], args.repeats)
                  for name in args.encoders],
        inference=[(dict(encoder=TITLES[name]), time_inference, name,
                    'nw-ucla-xview', 10 * args.repeats)
                   for name in args.encoders],
        blockgcn_topology=[(dict(width=width), time_topology, WIDTHS[width],
                            args.repeats) for width in WIDTHS],
        loss=[(dict(slots=size[0], batch=size[2]), time_loss, *size,
               args.repeats) for size in SIZES],
        banks=[(dict(bank=kind, sequences=number), time_banks, kind, number,
                args.repeats)
               for kind in BANKS for number in NUMBERS],
        pipeline=[(dict(clips=500, frames=100), time_pipeline, 100,
                   args.repeats)],
        loader=[(dict(clips=64, workers=2), time_loader, 64, args.repeats)],
        start=[(dict(tool=name), time_start, command, args.repeats)
               for name, command in COMMANDS.items()])
    for part, threads in product(args.parts or rows, args.threads):
        torch.set_num_threads(threads)
        for key, *call in rows[part]:
            if part not in ('step_memory', 'start'):
                key['threads'] = threads
            add(args.out / f'{part}.csv', 'cpu', key, *call)


if __name__ == '__main__':
    main()
