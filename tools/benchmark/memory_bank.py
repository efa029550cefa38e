"""Time the contrastive part of a training step against the size of the banks.

This is what STD-CL adds after the encoder: the exchange between processes, the
update of both banks, and both losses, forward and backward, on the CPU. Banks
are full (a slot for each sequence), full in float16, or class-balanced.

example: python -m tools.benchmark.memory_bank --largest 100000
"""
import argparse
import socket

from tools.benchmark import timing

DIM, CLASSES, BATCHES = 256, 60, (16, 64)
# bank: config; powers of ten of sequences for one process, and for several
BANKS = {'full': (dict(type='MemoryBank'), (3, 4, 5, 6), (4, 5)),
         'full, float16': (dict(type='MemoryBank', dtype='float16'),
                           (3, 4, 5, 6), ()),
         'class-balanced': (dict(type='ClassBalancedMemoryBank'),
                            (4, 5, 6, 7), (5, ))}


def make_head(config: dict, sequences: int):
    """A head whose banks have seen as many sequences as they can hold."""
    import torch
    from torch.nn.functional import normalize

    from projects.stdcl.models import STDCLHead
    head = STDCLHead(num_classes=CLASSES, in_channels=DIM, memory_bank=config,
                     decoupler=dict(type='AttentiveDecoupler'),
                     loss_contrast=dict(type='CrossSequenceContrastiveLoss'))
    head.resize_banks(sequences)
    indices = torch.arange(min(sequences, len(head.spatial_bank)))
    for part in indices.split(4 * CLASSES):
        for bank in (head.spatial_bank, head.temporal_bank):
            bank.update(normalize(torch.randn(len(part), DIM), dim=1),
                        part % CLASSES, part)
    return head


def make_step(head, sequences: int, batch: int):
    """A function that performs one step, on other sequences each time."""
    import torch
    from mmaction.structures import ActionDataSample

    def step() -> None:
        samples = [ActionDataSample(metainfo=dict(sample_idx=index)
                                    ).set_gt_label(index % CLASSES)
                   for index in torch.randint(sequences, (batch, )).tolist()]
        losses = head.contrast(torch.randn(batch, 1, DIM, 1, 1), samples)
        (losses['loss_spatial'] + losses['loss_temporal']).backward()

    return step


def measure(rank: int, processes: int, port: int, args, queue) -> None:
    """Measure all cases in a process; the first one sends the rows."""
    import torch
    import torch.distributed as dist

    import projects.stdcl  # noqa: F401  registers the models
    torch.set_num_threads(args.threads)
    torch.manual_seed(rank)
    if processes > 1:
        dist.init_process_group('gloo', rank=rank, world_size=processes,
                                init_method=f'tcp://127.0.0.1:{port}')
    for bank, (config, *powers) in BANKS.items():
        for sequences in (10**power for power in powers[processes > 1]):
            if sequences > args.largest:
                continue
            head = make_head(config, sequences)
            steps = {n: make_step(head, sequences, n) for n in BATCHES}
            seconds = timing.in_turn(steps, args.repeats)
            memory = timing.added_memory(steps[64])
            if rank == 0:
                row = {'slots': len(head.spatial_bank), 'one bank, MiB': round(
                    head.spatial_bank.nbytes / 2**20, 1),
                    'a step without the banks, MiB': memory}
                queue.put(((bank, sequences), (row, {
                    batch: timing.spread(taken, 1e3)
                    for batch, taken in seconds.items()})))
    if processes > 1:
        dist.destroy_process_group()


def run(processes: int, args: argparse.Namespace) -> dict:
    """Bank and number of sequences -> what :func:`measure` sends."""
    import torch.multiprocessing as mp
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    with mp.get_context('spawn').Manager() as manager:
        queue = manager.Queue()
        mp.spawn(measure, (processes, port, args, queue), processes)
        return dict(queue.get() for _ in range(queue.qsize()))


def main() -> None:
    parser = timing.make_parser(__doc__, 5)
    parser.add_argument('--processes', type=int, nargs='+', default=[2, 4],
                        help='beside one; default: 2 4')
    parser.add_argument('--largest', type=int, default=10**7, metavar='N',
                        help='most sequences; default: 10,000,000')
    args = timing.parse_args(parser)
    results = {number: run(number, args) for number in (1, *args.processes)}
    timing.save(args.out / 'memory_bank.csv', [
        {'bank': case[0], 'sequences': case[1], **row,
         **{f'ms, batch {batch}': time for batch, time in times.items()}}
        for case, (row, times) in results[1].items()], ['bank', 'sequences'])
    timing.save(args.out / 'memory_bank_processes.csv', [
        {'bank': case[0], 'sequences': case[1], 'batch of a process': batch,
         **{f'ms, {number} process{"es" * (number > 1)}':
            rows[case][1][batch] for number, rows in results.items()},
         'bytes that a process sends': batch * (2 * DIM * 4 + 8)}
        for case in results[max(results)] for batch in BATCHES],
        ['bank', 'sequences', 'batch of a process'])


if __name__ == '__main__':
    main()
