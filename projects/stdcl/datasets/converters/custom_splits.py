"""Splits of your own data for training and validation."""
from collections import Counter
from typing import Dict, List, Optional

from ...utils.input_error import InputError

SPLITS = ('train', 'val')
BY_SUBJECT, BY_CLASS = 'drawn by subject', 'drawn by class'


def method_of(subjects: Dict[str, Optional[str]],
              by_subject: Optional[bool]) -> str:
    """How to draw, for the subjects of all sequences and the user's choice."""
    if by_subject is None:
        different = set(subjects.values())
        by_subject = all(different) and len(different) > 1
    return BY_SUBJECT if by_subject else BY_CLASS


def draw(method: str, labels: Dict[str, int], subjects: Dict[str, str],
         ratio: float, seed: int) -> Dict[str, str]:
    """Draw 'train' or 'val' for every sequence in ``labels``.

    ``ratio`` is the share of the subjects, or of the sequences of each class;
    the only sequence of a class is for training.
    """
    try:
        from sklearn.model_selection import (
            GroupShuffleSplit,
            StratifiedShuffleSplit,
        )
    except ImportError:
        raise InputError('--val-ratio needs scikit-learn: pip install -e '
                         '.[analysis]') from None
    names, counts = sorted(labels), Counter(labels.values())
    groups = None
    if method == BY_SUBJECT:
        splitter = GroupShuffleSplit(1, test_size=ratio, random_state=seed)
        groups = [subjects[name] for name in names]
    else:
        names = [name for name in names if counts[labels[name]] > 1]
        splitter = StratifiedShuffleSplit(1, test_size=ratio,
                                          random_state=seed)
    try:
        (_, drawn), = splitter.split(
            names, [labels[name] for name in names], groups)
    except ValueError as error:  # too few sequences or subjects
        raise InputError(f'--val-ratio is {ratio}, but there are {len(names)} '
                         f'sequences to draw from: {error}') from None
    val = {names[index] for index in drawn}
    return {name: SPLITS[name in val] for name in labels}


def check(splits: Dict[str, str], labels: Dict[str, int], classes: List[str],
          subjects: Dict[str, Optional[str]]) -> List[str]:
    """Check that all classes can be trained; returns warnings."""
    for split in set(SPLITS) - set(splits.values()):
        raise InputError(f'the split {split} has 0 of the {len(splits)} '
                         'sequences, expected at least 1.')
    seen = {(splits[name], label) for name, label in labels.items()}
    lacking = {split: ', '.join(f'"{name}"' for label, name in enumerate(
        classes) if (split, label) not in seen) for split in SPLITS}
    if lacking['train']:
        raise InputError(
            f'no training sequence for the classes {lacking["train"]}, '
            'expected at least 1 for each. Add some, or split differently '
            '(--seed and --no-by-subject draw other splits).')
    warnings = []
    if lacking['val']:
        warnings.append('no validation sequence for the classes '
                        + lacking['val'])
    train, val = ({subjects[name] for name in labels if splits[name] == split}
                  for split in SPLITS)
    both = sorted((train & val) - {None, ''})
    if both:
        warnings.append(f'{len(both)} subjects are in both splits, such as '
                        f'"{both[0]}"; --val-ratio with --by-subject keeps '
                        'them apart')
    return warnings
