"""Split your own data for training, validation and testing."""
import pandas as pd

from ...utils.input_error import InputError

SPLITS = ('train', 'val', 'test')


def draw(table: pd.DataFrame, ratio: float, seed: int) -> pd.Series:
    """Draw a split, 'train' or 'val', for each sequence that is not in 'test'.

    ``table`` has the columns label, subject and split. If there are subjects,
    a share of them, ``ratio``, is drawn for 'val'. Otherwise, this share of
    each class is drawn; a class with a single sequence is used for training
    only. The order of the rows has no effect. An ``InputError`` is raised if
    there is too little data.
    """
    from sklearn.model_selection import (
        GroupShuffleSplit,
        StratifiedShuffleSplit,
    )
    splits = table['split'].where(table['split'] == 'test', 'train')
    rest = table[splits == 'train'].sort_index()
    if (rest['subject'] != '').any():
        unit, kind = 'subject', GroupShuffleSplit
        if rest['subject'].nunique() == 1:
            raise InputError(
                f'--val-ratio is {ratio}, but there is only one subject, '
                f'"{rest["subject"].iloc[0]}", expected at least 2. To draw '
                'from each class instead, remove the column "subject".')
    else:
        unit, kind = 'class', StratifiedShuffleSplit
        rest = rest[rest['label'].duplicated(keep=False)]
    shuffle = kind(1, test_size=float(ratio), random_state=seed)
    try:
        _, val = next(shuffle.split(rest, rest['label'], rest['subject']))
    except ValueError as error:
        raise InputError(f'--val-ratio is {ratio}, which cannot split the '
                         f'sequences ({len(rest)} in all) by {unit}: {error}'
                         ) from None
    splits[rest.index[val]] = 'val'
    return splits


def count(table: pd.DataFrame) -> pd.DataFrame:
    """Return the number of sequences per class and split.

    An ``InputError`` is raised if a split or a class to train on is empty.
    """
    counts = pd.crosstab(table['label'], table['split'], dropna=False)
    if list(counts) == ['test']:
        return counts
    for split in sorted({'train', 'val'} - set(counts)):
        raise InputError(f'the split "{split}" contains 0 of {len(table)} '
                         'sequences, expected at least 1.')
    absent = counts.index[counts['train'] == 0]
    if len(absent):
        raise InputError(
            'classes without a sequence in the split "train": '
            f'{", ".join(absent)}; expected at least 1 sequence per class. '
            'Add sequences, change the column "split", or draw a new split '
            '(--val-ratio with a different --seed).')
    return counts
