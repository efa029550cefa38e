"""Splits of your own data for training and validation."""
import random
from collections import Counter, defaultdict
from typing import Dict, List, Optional, Set

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
    """Draw 'train' or 'val' for every sequence in ``labels``."""
    if method == BY_CLASS:
        val = draw_stratified(labels, ratio, seed)
    else:
        sizes = Counter(subjects[name] for name in labels)
        if len(sizes) == 1:
            raise InputError(
                f'the only subject is "{next(iter(sizes))}", expected at '
                'least two to draw from; --no-by-subject draws sequences.')
        drawn = draw_subjects(sizes, ratio, seed)
        val = {name for name in labels if subjects[name] in drawn}
    return {name: SPLITS[name in val] for name in labels}


def draw_stratified(labels: Dict[str, int], ratio: float,
                    seed: int) -> Set[str]:
    """Draw sequences so that every class has its share.

    Each class gets its share rounded down; the sequences that are missing
    then come from the classes that lost most. At least one sequence of every
    class is left for training.
    """
    rng = random.Random(seed)
    members = defaultdict(list)
    for name in sorted(labels):
        members[labels[name]].append(name)
    counts = {label: int(ratio * len(names))
              for label, names in members.items()}
    missing = round(ratio * len(labels)) - sum(counts.values())
    order = sorted(members)
    rng.shuffle(order)  # decides among classes that lost equally
    order.sort(key=lambda label: counts[label] - ratio * len(members[label]))
    spare = [label for label in order
             if counts[label] + 1 < len(members[label])]
    for label in spare[:missing]:
        counts[label] += 1
    return {name for label in sorted(members)
            for name in rng.sample(members[label], counts[label])}


def draw_subjects(sizes: Dict[str, int], ratio: float, seed: int) -> Set[str]:
    """Draw the subjects whose sequences come closest to a share of all.

    ``sizes`` has the number of sequences of at least two subjects; at least
    one subject is drawn, and not all. ``seed`` decides among equals.
    """
    subjects = sorted(sizes)
    random.Random(seed).shuffle(subjects)
    # number of sequences -> (number without the last subject, last subject)
    reached = {0: None}
    for subject in subjects:
        for size in list(reached):
            reached.setdefault(size + sizes[subject], (size, subject))
    total = sum(sizes.values())
    size = min((size for size in sorted(reached) if 0 < size < total),
               key=lambda size: abs(size - ratio * total))
    drawn = set()
    while size:
        size, subject = reached[size]
        drawn.add(subject)
    return drawn


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
