"""Write the tables in README.md, configs/README.md and docs/, and docs/plots.

The tool fills the blocks between <!-- table: NAME --> and <!-- /table --> in
each page. projects/stdcl/studies/tables.py lists the names, for example
"study jhmdb".
"""
import argparse


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    from projects.stdcl.utils.input_error import end_cleanly
    with end_cleanly():
        from projects.stdcl.studies.tables import update
        update()


if __name__ == '__main__':
    main()
