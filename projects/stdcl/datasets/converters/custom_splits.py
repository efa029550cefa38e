"""Split your own data for training, validation and testing."""
from pathlib import Path
from typing import List, Optional

import pandas as pd

from ...utils.input_error import InputError

SPLITS = ('train', 'val', 'test')
DRAWN = BY_SUBJECT, BY_CLASS = 'drawn by subject', 'drawn by class'


def choose(where: Path, table: pd.DataFrame, ratio: Optional[float],
           by_subject: Optional[bool]) -> str:
    """Return how to split: by subject, by class or as given in the table.

    With a ``ratio``, the default is to draw by subject if every sequence has a
    subject and there are at least two.
    """
    if ratio is None:
        if set(table['split'].dropna()) <= {''}:
            raise InputError(
                f'{where} contains no splits. Add a column "split" with the '
                'values "train" and "val", or use --val-ratio.')
        return f'given by {where}'
    if by_subject is None:
        subjects = table['subject'][table['split'] != 'test'].dropna()
        by_subject = (subjects != '').all() and subjects.nunique() > 1
    return BY_SUBJECT if by_subject else BY_CLASS


def draw(table: pd.DataFrame, method: str, ratio: float,
         seed: int) -> pd.Series:
    """Draw a split, 'train' or 'val', for each sequence that is not in 'test'.

    Args:
        table (pd.DataFrame): The columns label (number of the class), subject
            and split. The order of the rows has no effect.
        method (str): ``BY_SUBJECT`` or ``BY_CLASS``. When drawing by class, a
            class with a single sequence is used for training only.
        ratio (float): Validation share of the subjects, or of the sequences of
            each class.
        seed (int): Random seed.

    Raises:
        InputError: There is too little data.
    """
    from sklearn.model_selection import (
        GroupShuffleSplit,
        StratifiedShuffleSplit,
    )
    splits = table['split'].where(table['split'] == 'test', 'train')
    drawn = table[splits == 'train'].sort_index()
    if method == BY_SUBJECT:
        kind, splitter, groups = 'subjects', GroupShuffleSplit, 'subject'
    else:
        kind, splitter, groups = 'sequences', StratifiedShuffleSplit, None
        drawn = drawn[drawn['label'].duplicated(keep=False)]
    try:
        (_, val), = splitter(1, test_size=ratio, random_state=seed).split(
            drawn, drawn['label'], drawn.get(groups))
    except ValueError as error:
        number = drawn[groups].nunique() if groups else len(drawn)
        raise InputError(f'--val-ratio is {ratio}, but there are too few '
                         f'{kind} to draw from ({number}): {error}') from None
    splits[drawn.index[val]] = 'val'
    return splits


def check(table: pd.DataFrame, classes: List[str]) -> List[str]:
    """Raise if a split or a class to train on is empty; return warnings."""
    if len(classes) < 2:
        raise InputError('all sequences have the same label '
                         f'({classes[0]}), expected at least 2 classes.')
    # sequences per split and class
    counts = pd.crosstab(table['split'], table['label']).reindex(
        columns=range(len(classes)), fill_value=0)
    if list(counts.index) == ['test']:
        return []
    for split in sorted({'train', 'val'} - set(counts.index)):
        raise InputError(f'the split {split} contains 0 of {len(table)} '
                         'sequences, expected at least 1.')
    absent = {split: ', '.join(f'"{classes[number]}"' for number in
                               counts.columns[row == 0])
              for split, row in counts.iterrows()}
    if absent['train']:
        raise InputError(
            'the split train contains no sequence of the classes '
            f'{absent["train"]}, expected at least 1 per class. Add '
            'sequences, change the column "split", or draw a new split '
            '(--val-ratio with a different --seed or --no-by-subject).')
    warnings = [f'the split {split} contains no sequence of the classes '
                f'{names}' for split, names in absent.items() if names]
    pairs = table[table['subject'] != ''].drop_duplicates(['subject', 'split'])
    shared = pairs['subject'][pairs['subject'].duplicated()].unique()
    if len(shared):
        warnings.append(f'{len(shared)} subjects are in several splits, such '
                        f'as "{shared[0]}"; --val-ratio with --by-subject '
                        'keeps them apart')
    return warnings
