"""Train and test the models of a study, and write its report."""
import argparse
import sys
from pathlib import Path

EPILOG = '''example:
  python tools/experiments/run_study.py my_study.py --jobs 2 --minutes 30

projects/stdcl/studies/study.py describes study files. Each finished run adds a
row to my_study.csv, next to the study file. If you run the command again, it
skips the recorded runs and resumes those that were interrupted (by --minutes,
Ctrl-C, SIGTERM or a crash). Each work directory contains a log.txt.'''


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('study', type=Path, help='study file')
    add('--list', action='store_true',
        help='list the missing runs and write the report, without training')
    add('--jobs', type=int, default=1, metavar='N',
        help='number of parallel runs; default: 1')
    add('--minutes', type=float, help='stop after this time; the next call '
        'resumes the runs; default: no limit (Slurm: a day)')
    add('--only', default='*', metavar='PATTERN', help='run only the arms '
        'whose names match PATTERN, such as "*ctrgcn*"; default: all')
    add('--work-dir', type=Path, help='folder for the work directories and '
        'the report; default: the folder in --records, or work_dirs/studies')
    add('--records', type=Path, help='folder for the results, to repeat a '
        'study; default: the folder of the study file')
    add('--slurm', metavar='PARTITION',
        help='run each command as a Slurm job with one GPU (needs submitit)')
    args = parser.parse_args()
    from projects.stdcl.utils.input_error import end_cleanly
    with end_cleanly(args.study, args):
        from projects.stdcl.studies.report import StudyReport
        from projects.stdcl.studies.runner import StudyRunner
        from projects.stdcl.studies.study import read_study
        study = read_study(args.study)
        folder = args.records or args.study.parent
        work_dir = args.work_dir or args.records or Path('work_dirs/studies')
        runner = StudyRunner(study, folder, work_dir.resolve())
        if args.slurm:
            runner.use_slurm(args.slurm, 24 * 60 if args.minutes is None
                             else args.minutes)
        missing = runner.missing(args.only)
        matching = study.matching(args.only)
        print(f'{study.name}: {len(matching) - len(missing)} of '
              f'{len(matching)} runs are already recorded')
        status = 0
        if args.list:
            print('\n'.join(f'  {training.name}' for training in missing))
        else:
            failed = runner.run_all(missing, args.jobs, args.minutes)
            status = 128 + runner.signaled if runner.signaled else bool(failed)
            print(f'{study.name}: runs left: {len(runner.missing(args.only))}')
        report = runner.work_dir / 'report.md'
        StudyReport(study, folder).write_page(report)
        print(f'report: {report}')
    sys.exit(status)


if __name__ == '__main__':
    main()
