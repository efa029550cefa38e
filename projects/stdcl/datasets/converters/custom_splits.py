"""Split your own data for training, validation and testing."""
import pandas as pd

from ...utils.input_error import InputError

SPLITS = ('train', 'val', 'test')


def draw(table: pd.DataFrame, ratio: float, seed: int) -> pd.Series:
    """Draw a split, 'train' or 'val', for each sequence that is not in 'test'.

    ``table`` has the columns label, subject and split. A share of the subjects
    or, without subjects, of each class is drawn for 'val'. A class with a
    single sequence is only in 'train'. An ``InputError`` is raised if there is
    too little data, or if some of the sequences are already split.
    """
    from sklearn import model_selection as sklearn
    given = set(table['split']) - {'test'}
    if len(given) > 1 or 'val' in given:
        raise InputError(
            f'--val-ratio is {ratio}, but rows that are not "test" have the '
            f'splits {sorted(given)}, expected all "train" or all empty.')
    splits = table['split'].where(table['split'] == 'test', 'train')
    rest = table[splits == 'train'].sort_index()
    unit, kind, groups = 'subject', sklearn.GroupShuffleSplit, rest['subject']
    if not groups.any():
        unit, kind, groups = 'label', sklearn.StratifiedShuffleSplit, None
        rest = rest[rest['label'].duplicated(keep=False)]
    try:
        _, val = next(kind(1, test_size=float(ratio), random_state=seed).split(
            rest, rest['label'], groups))
    except ValueError as error:
        raise InputError(
            f'--val-ratio {ratio} --seed {seed} cannot split {len(rest)} '
            f'sequences with {rest[unit].nunique()} different {unit}s: '
            f'{error}') from None
    splits[rest.index[val]] = 'val'
    return splits


def count(where: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return the number of sequences per class and split.

    An ``InputError`` is raised if 'val', or a class in 'train', is empty,
    except for data that are only for testing.
    """
    counts = pd.crosstab(table['label'], table['split'], dropna=False)
    if list(counts) == ['test']:
        return counts
    if 'val' not in counts:
        raise InputError(
            f'{where}: the split "val" contains 0 of {len(table)} sequences, '
            'expected at least 1. Write "train" and "val" into a column '
            '"split", select splits (--split), or draw them (--val-ratio).')
    absent = counts.index[counts.get('train', 0 * counts['val']) == 0]
    if len(absent):
        raise InputError(
            f'{where}: classes without a sequence in the split "train": '
            f'{", ".join(absent)}; expected at least 1 sequence per class.')
    return counts
