"""Compare an ONNX file with PyTorch on the test set of a config.

The exit status is 1 if any logit differs by more than 1e-4 times the largest.

Example:
    python tools/deployment/test_onnx.py CONFIG CHECKPOINT stgcn.onnx
"""
import argparse
import logging
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('config', help='config file')
    add('checkpoint', help='checkpoint file (*.pth)')
    add('onnx', type=Path, help='ONNX file to test (*.onnx)')
    add('--cfg-options', nargs='+', metavar='KEY=VALUE',
        help='override entries of the config; write a list as key="[a,b]"')
    args = parser.parse_args()
    from projects.stdcl.utils.input_error import end_cleanly
    logging.disable(logging.INFO)  # MMEngine logs to stdout
    with end_cleanly(args.config, args):
        from projects.stdcl.deployment.onnx import TOLERANCE, evaluate_file
        result = evaluate_file(args.config, args.checkpoint, args.onnx,
                               args.cfg_options)
    print(f'Sequences: {result["sequences"]}. The logits differ by at most '
          f'{result["difference"]:.1e} times the largest logit. Predicted '
          f'classes {"all agree" if result["agree"] else "differ"}.')
    for name, top1 in result['top1'].items():
        print(f'{name:12} top-1 {top1:.2f}')
    if not result['difference'] <= TOLERANCE:  # true for NaN, too
        sys.exit(f'error: {args.onnx}: the logits differ by '
                 f'{result["difference"]:.1e} times the largest logit, '
                 f'expected at most {TOLERANCE:.0e}.')


if __name__ == '__main__':
    main()
