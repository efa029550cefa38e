"""Split your own data for training and validation."""
from collections import Counter
from typing import Dict, List, Optional

from ...utils.input_error import InputError

SPLITS = ('train', 'val')
BY_SUBJECT, BY_CLASS = 'drawn by subject', 'drawn by class'


def method_of(subjects: Dict[str, Optional[str]],
              by_subject: Optional[bool]) -> str:
    """Choose whether to draw by subject or by class.

    By default, draw by subject if every sequence has a subject and there are
    at least two subjects.
    """
    if by_subject is None:
        different = set(subjects.values())
        by_subject = all(different) and len(different) > 1
    return BY_SUBJECT if by_subject else BY_CLASS


def draw(method: str, labels: Dict[str, int], subjects: Dict[str, str],
         ratio: float, seed: int) -> Dict[str, str]:
    """Draw 'train' or 'val' for every sequence in ``labels``.

    ``ratio`` is the validation share of the subjects, or of the sequences of
    each class. When drawing by class, a class with a single sequence is used
    for training only.

    Raises:
        ModuleNotFoundError: scikit-learn is missing.
        InputError: There is too little data.
    """
    from sklearn.model_selection import (
        GroupShuffleSplit,
        StratifiedShuffleSplit,
    )
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
    except ValueError as error:
        kind = 'subjects' if groups else 'sequences'
        raise InputError(f'--val-ratio is {ratio}, but there are too few '
                         f'{kind} to draw from ({len(set(groups or names))}): '
                         f'{error}') from None
    val = {names[index] for index in drawn}
    return {name: SPLITS[name in val] for name in labels}


def check(splits: Dict[str, str], labels: Dict[str, int], classes: List[str],
          subjects: Dict[str, Optional[str]]) -> List[str]:
    """Raise if a split or a class to train on is empty; return warnings."""
    for split in set(SPLITS) - set(splits.values()):
        raise InputError(f'the split {split} contains 0 of {len(splits)} '
                         'sequences, expected at least 1.')
    seen = {(splits[name], label) for name, label in labels.items()}
    lacking = {split: ', '.join(f'"{name}"' for label, name in enumerate(
        classes) if (split, label) not in seen) for split in SPLITS}
    if lacking['train']:
        raise InputError(
            'the split train contains no sequence of the classes '
            f'{lacking["train"]}, expected at least 1 per class. Add '
            'sequences, change the column split, or draw a new split '
            '(--val-ratio with a different --seed or --no-by-subject).')
    warnings = []
    if lacking['val']:
        warnings.append('the split val contains no sequence of the classes '
                        + lacking['val'])
    train, val = ({subjects[name] for name in labels if splits[name] == split}
                  for split in SPLITS)
    both = sorted((train & val) - {None, ''})
    if both:
        warnings.append(f'{len(both)} subjects are in both splits, such as '
                        f'"{both[0]}"; --val-ratio with --by-subject keeps '
                        'them apart')
    return warnings
