"""Convert a checkpoint from an encoder's authors to this project's format.

The checkpoint may come from the published code of CTR-GCN, Hyperformer or
BlockGCN, with or without the decoupler of the STD-CL release (which is called
ProjectionDecoupler here), or from the public reproduction of HCN.
"""
import argparse
from pathlib import Path

EXAMPLES = '''example:
  python tools/model_converters/authors_checkpoint.py ctrgcn \\
      runs-65-1234.pt ctrgcn.pth
  python tools/test.py CONFIG ctrgcn.pth'''


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('encoder', help='encoder: ctrgcn, hyperformer, blockgcn or hcn')
    add('source', type=Path, help="the authors' checkpoint (*.pt)")
    add('out', type=Path, help='checkpoint to write (*.pth)')
    args = parser.parse_args()
    if args.out.suffix != '.pth' or (
            args.out.resolve() == args.source.resolve()):
        parser.error(f'out is {args.out}, expected a *.pth file other than '
                     'the source.')
    from projects.stdcl.utils.input_error import end_cleanly
    with end_cleanly(args.source, args):
        from projects.stdcl.deployment.authors_checkpoint import convert_file
        print(convert_file(args.encoder, args.source, args.out))


if __name__ == '__main__':
    main()
