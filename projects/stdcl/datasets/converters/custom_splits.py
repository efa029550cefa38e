"""Split your own data for training, validation and testing."""
import pandas as pd

from ...utils.input_error import InputError

SPLITS = ('train', 'val', 'test')


def draw(table: pd.DataFrame, ratio: float, seed: int) -> pd.Series:
    """Draw a split, 'train' or 'val', for each sequence that is not in 'test'.

    Args:
        table (pd.DataFrame): The columns label, subject and split. If there
            are subjects, whole subjects are drawn. Otherwise, sequences of
            each class are drawn; a class with a single sequence is used for
            training only. The order of the rows has no effect.
        ratio (float): Validation share of the subjects, or of the sequences of
            each class.
        seed (int): Random seed.

    Raises:
        InputError: There is too little data.
    """
    from sklearn.model_selection import train_test_split
    splits = table['split'].where(table['split'] == 'test', 'train')
    rest = table[splits == 'train'].sort_index()
    by_subject = (rest['subject'] != '').any()
    if by_subject:
        drawn, labels = sorted(set(rest['subject'])), None
    else:
        rest = rest[rest['label'].duplicated(keep=False)]
        drawn, labels = rest.index, rest['label']
    try:
        _, val = train_test_split(
            drawn, test_size=float(ratio), random_state=seed, stratify=labels)
    except ValueError as error:
        kind = 'subjects' if by_subject else 'sequences'
        raise InputError(f'--val-ratio is {ratio}, which cannot split the '
                         f'{kind} ({len(drawn)} in all): {error}') from None
    chosen = rest['subject'] if by_subject else rest.index
    splits[rest.index[chosen.isin(val)]] = 'val'
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
