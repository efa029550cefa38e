"""Run the trainings of a study, several at once, and write its report."""
import argparse
import sys
from pathlib import Path

EPILOG = '''example:
  python tools/experiments/run_study.py my_study.py --jobs 2 --minutes 30

projects/stdcl/studies/study.py explains study files. Each finished training
adds a row to my_study.csv, beside the study file; trainings recorded there are
skipped. Interrupted ones (--minutes, Ctrl-C, SIGTERM, a crash) resume when the
study is run again. Their output is in log.txt of their work directories.'''


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('study', type=Path, help='study file')
    parser.add_argument('--list', action='store_true', help='run nothing; '
                        'list what is missing, and write the report')
    parser.add_argument('--jobs', type=int, default=1, metavar='N',
                        help='trainings at a time; default: 1')
    parser.add_argument('--minutes', type=float, help='stop after this time; '
                        'trainings save and resume next time')
    parser.add_argument('--only', default='*', metavar='PATTERN',
                        help='only arms that match, such as "*ctrgcn*"')
    parser.add_argument('--work-dir', type=Path, default='work_dirs/studies',
                        help='folder of the trainings; default: %(default)s')
    parser.add_argument('--records', type=Path, help='folder of the results; '
                        'default: that of the study file')
    parser.add_argument('--slurm', metavar='PARTITION', help='run each '
                        'training as a Slurm job with one GPU (submitit)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from projects.stdcl.utils.input_error import end_cleanly
    with end_cleanly(str(args.study)):
        from projects.stdcl.studies.report import StudyReport
        from projects.stdcl.studies.runner import StudyRunner
        from projects.stdcl.studies.study import read_study
        study, folder = read_study(args.study), (
            args.records or args.study.parent)
        runner = StudyRunner(study, folder, args.work_dir.resolve())
        if args.slurm:
            runner.use_slurm(args.slurm, args.minutes or 24 * 60)
        missing = runner.missing(args.only)
        print(f'{study.name}: {len(study.matching(args.only)) - len(missing)} '
              f'trainings are recorded and skipped, {len(missing)} to run')
        failed = []
        if args.list:
            print('\n'.join(f'  {training.name}' for training in missing))
        else:
            failed = runner.run_all(missing, args.jobs, args.minutes)
            print(f'{study.name}: {len(runner.missing(args.only))} trainings '
                  'left')
        print(StudyReport(study, folder).write_page(
            runner.work_dir / 'report.md'))
    if failed:
        sys.exit(1)


if __name__ == '__main__':
    main()
