"""Export a trained model as an ONNX file.

It maps clips as the data pipeline makes them, (batch, persons, frames, joints,
channels) in float32, to logits, and computes the config's stream itself. The
export is verified against PyTorch; a file that differs is not kept.
"""
import argparse
from pathlib import Path

EXAMPLES = '''example:
  python tools/deployment/export_onnx.py CONFIG CHECKPOINT stgcn.onnx

To run it with onnxruntime:
  session = onnxruntime.InferenceSession('stgcn.onnx')
  logits, = session.run(None, {'clips': clips})

Classes, stream, layout and the shape of a clip are in its metadata.'''


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file (*.pth)')
    parser.add_argument('out', type=Path, help='file to write (*.onnx)')
    parser.add_argument(
        '--shape', nargs=4, type=int, metavar=('M', 'T', 'V', 'C'),
        help='persons, frames, joints and channels of a clip; default: what '
        'the config says')
    parser.add_argument(
        '--cfg-options', nargs='+', metavar='KEY=VALUE',
        help='override entries of the config; lists as key="[a,b]"')
    args = parser.parse_args()
    if args.out.suffix != '.onnx':
        parser.error(f'out is {args.out}, expected *.onnx.')
    return args


def main() -> None:
    args = parse_args()
    from projects.stdcl.utils.input_error import end_cleanly
    with end_cleanly(args.config):
        from projects.stdcl.deployment.onnx import export_checkpoint
        print(export_checkpoint(args.config, args.checkpoint, args.out,
                                args.shape, args.cfg_options))


if __name__ == '__main__':
    main()
