"""Time the contrastive part of a training step against the size of the banks.

This is what STD-CL adds after the encoder: the exchange between processes, the
update of both banks, and both losses, forward and backward, on the CPU.

example: torchrun --nproc-per-node 2 -m tools.benchmark.memory_bank
"""
from tools.benchmark import timing

DIM, CLASSES, BATCHES = 256, 60, (16, 64)
BANKS = {'full': dict(type='MemoryBank'),
         'full, float16': dict(type='MemoryBank', dtype='float16'),
         'class-balanced': dict(type='ClassBalancedMemoryBank')}


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


def main() -> None:
    parser = timing.make_parser(__doc__, 5)
    parser.add_argument('--sequences', type=int, nargs='+', metavar='N',
                        default=[10**3, 10**4, 10**5, 10**6])
    args = timing.parse_args(parser)
    import torch
    from mmengine import dist

    import projects.stdcl  # noqa: F401  registers the models
    if torch.distributed.is_torchelastic_launched():
        torch.distributed.init_process_group('gloo')
    torch.manual_seed(dist.get_rank())
    for bank, config in BANKS.items():
        for sequences in args.sequences:
            head = make_head(config, sequences)
            steps = {f'batch {batch}': make_step(head, sequences, batch)
                     for batch in BATCHES}
            row = {'bank': bank, 'sequences': sequences,
                   'processes': dist.get_world_size(),
                   'slots': len(head.spatial_bank),
                   **timing.milliseconds(timing.in_turn(steps, args.repeats)),
                   'one bank, MiB': round(
                       head.spatial_bank.nbytes / 2**20, 1),
                   'a step without the banks, MiB': timing.added_memory(
                       steps['batch 64'])}
            if dist.get_rank() == 0:
                timing.save(args.out / 'memory_bank.csv', [row],
                            ['bank', 'sequences', 'processes'])


if __name__ == '__main__':
    main()
