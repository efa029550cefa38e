"""Run the trainings of a study, several at once, in slices that resume."""
import argparse
import sys
from pathlib import Path

EPILOG = '''examples:
  python tools/experiments/run_study.py my_study.py --list
  python tools/experiments/run_study.py my_study.py --jobs 2
  python tools/experiments/run_study.py my_study.py --only "*ctrgcn*" \\
      --jobs 4 --minutes 9
  python tools/experiments/run_study.py my_study.py --features

The head of projects/stdcl/studies/study.py explains study files. Each
finished training adds a row to my_study.csv, beside the study file; trainings
recorded there (by arm, fold and seed) are skipped. Interrupted trainings
(--minutes, Ctrl-C, SIGTERM, a crash) resume when the study is run again.
Their output is in log.txt of their work directories. Relative paths in
configs, such as data/, start from the working directory.'''


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('study', type=Path, help='study file')
    parser.add_argument('--list', action='store_true',
                        help='only show what is recorded and what is missing')
    parser.add_argument('--features', action='store_true', help='only measure '
                        'the features of trainings that are finished')
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
    args = parser.parse_args()
    for name in ('jobs', 'minutes'):
        value = getattr(args, name)
        if value is not None and value <= 0:
            parser.error(f'--{name} is {value}, expected more than 0.')
    return args


def main() -> None:
    args = parse_args()
    from projects.stdcl.utils.input_error import end_cleanly
    with end_cleanly(str(args.study)):
        from projects.stdcl.studies import runner as running
        from projects.stdcl.studies.study import read_study
        study, work_dir = read_study(args.study), args.work_dir.resolve()
        folder = args.records or args.study.parent
        if args.features:
            from projects.stdcl.studies.features import measure_features
            number = measure_features(study, folder, work_dir, args.only)
            print(f'{study.name}: measured the features of {number} trainings')
            return
        processes = running.LocalProcesses(study.threads)
        if args.slurm:
            processes = running.SlurmJobs(args.slurm, study.threads,
                                          args.minutes or 24 * 60)
        runner = running.StudyRunner(study, folder, work_dir, processes)
        missing = runner.missing(args.only)
        print(f'{study.name}: {len(study.matching(args.only)) - len(missing)} '
              f'trainings are recorded and skipped, {len(missing)} to run')
        if args.list:
            print('\n'.join(f'  {training.name}' for training in missing))
            return
        succeeded = running.run_all(runner, missing, args.jobs, args.minutes)
        runner.fuse()
        print(f'{study.name}: {len(runner.missing(args.only))} trainings left')
    if not succeeded:
        sys.exit(1)


if __name__ == '__main__':
    main()
