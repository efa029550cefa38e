"""Print a config with everything that it inherits."""
import argparse

EXAMPLE = '''example:
  python tools/analysis/print_config.py \\
      configs/stdcl/stdcl-stgcn_synthetic.py --cfg-options work_dir=mine'''


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--cfg-options', '--options', action='extend', nargs='+',
        metavar='KEY=VALUE',
        help='override entries of the config; write a list as key="[a,b]"')
    args = parser.parse_args()
    from projects.stdcl.utils.config_check import load_config
    from projects.stdcl.utils.input_error import end_cleanly
    with end_cleanly(args.config, args):
        print(load_config(args.config, args.cfg_options).pretty_text)


if __name__ == '__main__':
    main()
