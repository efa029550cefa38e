"""Reduce a training checkpoint to a small checkpoint for inference.

The small checkpoint contains the metadata and the weights of the encoder and
the classifier, but not the decoupler, the memory banks or the optimizer
state. Use it with the plain config. MMAction2 can load it without this package
if it supports the encoder (ST-GCN or 2S-AGCN), the layout and the stream.
"""
import argparse
from pathlib import Path

EXAMPLES = '''example:
  python tools/model_converters/strip_stdcl.py \\
      work_dirs/stdcl-stgcn_synthetic/epoch_7.pth stgcn_synthetic.pth'''


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path,
                        help='checkpoint of a training run (*.pth)')
    parser.add_argument('out', type=Path, help='checkpoint to write (*.pth); '
                        'the first 8 digits of its SHA-256 hash are added '
                        'to the name')
    args = parser.parse_args()
    if args.out.suffix != '.pth':
        parser.error(f'out is {args.out}, expected a *.pth file.')
    from projects.stdcl.utils.input_error import end_cleanly
    with end_cleanly(args.source, args):
        from projects.stdcl.deployment.strip import strip_file
        path, removed = strip_file(args.source, args.out)
    print(f'{path}: {path.stat().st_size:,} bytes, reduced from '
          f'{args.source.stat().st_size:,}. Tensors of STD-CL removed: '
          f'{removed}.')


if __name__ == '__main__':
    main()
