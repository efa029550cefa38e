# Split 1 of JHMDB. To use a different split, pass --split split2 or split3.
# tools/data/jhmdb.py writes the annotation file; its path is relative to the
# working directory.
dataset_type = 'SkeletonDataset'
ann_file = 'data/jhmdb/jhmdb.pkl'
clip_len = 32
clip_shape = (1, clip_len, 15, 2)  # persons, frames, joints, channels

train_pipeline = [
    dict(type='Standardize'),
    dict(type='RandomRotation'),
    dict(type='RandomScale'),
    dict(type='RandomSampleFrames', clip_len=clip_len, proportion=(0.75, 1)),
    dict(type='PoseDecode'),
    dict(type='FormatGCNInput', num_person=1),
    dict(type='PackActionInputs')
]
val_pipeline = [
    dict(type='Standardize'),
    dict(type='RandomSampleFrames', clip_len=clip_len, test_mode=True),
    dict(type='PoseDecode'),
    dict(type='FormatGCNInput', num_person=1),
    dict(type='PackActionInputs')
]
test_pipeline = val_pipeline

train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        ann_file=ann_file,
        pipeline=train_pipeline,
        split='split1_train'))
val_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        ann_file=ann_file,
        pipeline=val_pipeline,
        split='split1_val',
        test_mode=True))
test_dataloader = val_dataloader

val_evaluator = [dict(type='AccMetric')]
test_evaluator = val_evaluator
