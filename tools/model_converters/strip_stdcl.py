"""Turn a checkpoint of a training into a small one for inference.

Removes the decoupler, the memory banks and the state of the training, and
keeps the weights of encoder and classifier and the metadata. The result fits
the plain config, and works in MMAction2 alone if that has the encoder
(ST-GCN, 2S-AGCN), the layout and the stream.
"""
import argparse
from pathlib import Path

EXAMPLES = '''example:
  python tools/model_converters/strip_stdcl.py \\
      work_dirs/stdcl-stgcn_synthetic/epoch_10.pth stgcn_synthetic.pth

writes stgcn_synthetic-0123abcd.pth, named by the file's SHA-256.'''


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path,
                        help='checkpoint of a training (*.pth)')
    parser.add_argument('out', type=Path, help='file to write (*.pth)')
    args = parser.parse_args()
    if args.out.suffix != '.pth':
        parser.error(f'out is {args.out}, expected *.pth.')
    return args


def main() -> None:
    args = parse_args()
    from projects.stdcl.utils.input_error import end_cleanly
    with end_cleanly(args.source):
        from projects.stdcl.deployment.strip import strip_file
        path, removed = strip_file(args.source, args.out)
    print(f'{path}: {path.stat().st_size:,} of '
          f'{args.source.stat().st_size:,} bytes, without '
          f'{removed} tensors of STD-CL.')


if __name__ == '__main__':
    main()
