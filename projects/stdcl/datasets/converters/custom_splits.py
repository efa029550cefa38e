"""Split your own data for training, validation and testing."""
from pathlib import Path
from typing import Dict, List, Optional

import pandas as pd

from ...utils.input_error import InputError

SPLITS = ('train', 'val', 'test')
BY_SUBJECT, BY_CLASS = 'drawn by subject', 'drawn by class'


def choose(where: Path, table: pd.DataFrame, ratio: Optional[float],
           by_subject: Optional[bool], problems: Dict[str, List[str]]) -> str:
    """Choose how to split: by subject, by class or as given in the table.

    With a ``ratio``, draw by subject by default if every sequence has a
    subject and there are at least two. Unknown splits and missing subjects are
    added to ``problems``.
    """
    known, drawn = table['split'].isin(SPLITS), table['split'] != 'test'
    if ratio is not None:
        subjects = table['subject'][drawn]
        if by_subject is None:
            by_subject = all(subjects) and subjects.nunique() > 1
        for name in subjects.index[subjects == ''] if by_subject else ():
            problems[name].append(f'{where}: "{name}" has no subject, which '
                                  '--by-subject needs.')
        return BY_SUBJECT if by_subject else BY_CLASS
    if not table['split'].any():
        raise InputError(f'{where} contains no splits. Add a column split '
                         'with the values train and val, or use --val-ratio.')
    for name, split in table['split'][~known].items():
        problems[name].append(f'{where}: the split of "{name}" is "{split}", '
                              f'expected {" or ".join(SPLITS)}.')
    return f'given by {where}'


def draw(table: pd.DataFrame, method: str, ratio: float,
         seed: int) -> pd.Series:
    """Return the split of each sequence, where 'train' and 'val' are drawn.

    Sequences in the split test stay there. The order of the sequences has no
    effect.

    Args:
        table (pd.DataFrame): The columns label (number of the class), subject
            and split of the sequences.
        method (str): ``BY_SUBJECT`` or ``BY_CLASS``. When drawing by class, a
            class with a single sequence is used for training only.
        ratio (float): Validation share of the subjects, or of the sequences of
            each class.
        seed (int): Random seed.

    Raises:
        ModuleNotFoundError: scikit-learn is missing.
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
    """Raise if a split or a class to train on is empty; return warnings.

    The columns of the table are label (the number of the class), subject and
    split. If all sequences are in the split test, no other split is needed.
    """
    if len(classes) < 2:
        raise InputError(f'the labels have {len(classes)} class '
                         f'({classes[0]}), expected at least 2.')
    only_test = set(table['split']) == {'test'}
    for split in ('test', ) if only_test else ('train', 'val'):
        if split not in set(table['split']):
            raise InputError(f'the split {split} contains 0 of {len(table)} '
                             'sequences, expected at least 1.')
    if only_test:
        return []
    absent = {split: ', '.join(f'"{name}"' for number, name in enumerate(
        classes) if number not in set(part['label']))
        for split, part in table.groupby('split')}
    if absent['train']:
        raise InputError(
            'the split train contains no sequence of the classes '
            f'{absent["train"]}, expected at least 1 per class. Add '
            'sequences, change the column split, or draw a new split '
            '(--val-ratio with a different --seed or --no-by-subject).')
    warnings = [f'the split {split} contains no sequence of the classes '
                f'{names}' for split, names in absent.items() if names]
    subjects = table[table['subject'] != ''].groupby('subject')
    shared = [subject for subject, splits in subjects['split'].unique().items()
              if len(splits) > 1]
    if len(shared):
        warnings.append(f'{len(shared)} subjects are in several splits, such '
                        f'as "{shared[0]}"; --val-ratio with --by-subject '
                        'keeps them apart')
    return warnings
