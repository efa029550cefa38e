"""Export a trained model as an ONNX file.

The exported network maps clips from the data pipeline, a float32 array of
shape (batch, persons, frames, joints, channels), to logits. The stream is
computed inside the network. If the logits differ from those of PyTorch by more
than 1e-4 times the largest logit, no file is written.
"""
import argparse
import logging
from pathlib import Path

EXAMPLES = '''example:
  python tools/deployment/export_onnx.py CONFIG CHECKPOINT stgcn.onnx

To classify a recording with the file, without this repository:
  python docs/guides/run_onnx.py stgcn.onnx recording.npy

The metadata of the file contain the names of the config, the classes and the
joints, the layout, the stream, the shape of a clip and the transforms of the
test pipeline.'''


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('config', help='config file')
    add('checkpoint', help='checkpoint file (*.pth)')
    add('out', type=Path, help='file to write (*.onnx)')
    add('--cfg-options', action='extend', nargs='+', metavar='KEY=VALUE',
        help='override entries of the config; write a list as key="[a,b]"')
    args = parser.parse_args()
    if args.out.suffix != '.onnx':
        parser.error(f'out is {args.out}, expected a *.onnx file.')
    from projects.stdcl.utils.input_error import end_cleanly
    logging.disable(logging.WARNING)  # the exporter logs warnings
    with end_cleanly(args.config, args):
        from projects.stdcl.deployment.onnx import export_checkpoint
        print(export_checkpoint(args.config, args.checkpoint, args.out,
                                args.cfg_options))


if __name__ == '__main__':
    main()
