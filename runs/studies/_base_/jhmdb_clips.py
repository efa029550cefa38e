# JHMDB at a quarter of the width, with a further test on the mean score of
# five random clips of each sequence, which is less noisy than one clip.
_base_ = 'jhmdb_quarter.py'

tests = {
    'clips': {'randomness.seed': 0, 'test_dataloader.dataset.pipeline': [
        dict(type='Standardize'),
        dict(type='RandomSampleFrames', clip_len=32, proportion=(0.75, 1),
             num_clips=5),
        dict(type='PoseDecode'), dict(type='FormatGCNInput', num_person=1),
        dict(type='PackActionInputs')]},
}
