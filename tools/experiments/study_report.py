"""Write the tables and plots of studies."""
import argparse
from pathlib import Path

EPILOG = '''examples:
  python tools/experiments/study_report.py my_study.py
  python tools/experiments/study_report.py runs/studies/*.py \\
      --plots docs/plots'''


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('studies', type=Path, nargs='+', metavar='STUDY',
                        help='study file, with its results beside it')
    parser.add_argument('--records', type=Path, help='folder of the results; '
                        'default: that of the study file')
    parser.add_argument('--out', type=Path, default='work_dirs/reports',
                        help='folder of the pages; default: %(default)s')
    parser.add_argument('--plots', type=Path, metavar='FOLDER',
                        help='write only the plots, to this folder')
    args = parser.parse_args()
    from projects.stdcl.utils.input_error import end_cleanly
    for path in args.studies:
        with end_cleanly(str(path)):
            from projects.stdcl.studies.report import StudyReport
            from projects.stdcl.studies.study import read_study
            report = StudyReport(read_study(path), args.records or path.parent)
            if args.plots:
                for name in report.write_plots(args.plots):
                    print(args.plots / name)
            else:
                print(report.write_page(args.out))


if __name__ == '__main__':
    main()
