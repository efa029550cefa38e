"""Write the tables of README.md, configs/README.md and docs/ from runs/."""
import argparse

EPILOG = '''A page has blocks between <!-- table: NAME --> and <!-- /table -->.
The head of projects/stdcl/studies/tables.py lists the names.

example: python tools/tables.py'''


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    from projects.stdcl.utils.input_error import end_cleanly
    with end_cleanly('tables'):
        from projects.stdcl.studies.tables import update
        for page in update():
            print(page)


if __name__ == '__main__':
    main()
