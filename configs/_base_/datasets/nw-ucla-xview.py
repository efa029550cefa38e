# NW-UCLA: training on views 1 and 2, testing on view 3. tools/data/nw_ucla.py
# writes the annotation file; its path is relative to the working directory.
dataset_type = 'SkeletonDataset'
ann_file = 'data/nw_ucla/nw_ucla.pkl'
clip_len = 52
clip_shape = (1, clip_len, 20, 3)  # persons, frames, joints, channels

train_pipeline = [
    dict(type='RandomView'),
    dict(type='MinMaxNormalize'),
    dict(type='RandomSampleFrames', clip_len=clip_len),
    dict(type='PoseDecode'),
    dict(type='FormatGCNInput', num_person=1),
    dict(type='PackActionInputs')
]
val_pipeline = [
    dict(type='MinMaxNormalize'),
    dict(type='RandomSampleFrames', clip_len=clip_len, test_mode=True),
    dict(type='PoseDecode'),
    dict(type='FormatGCNInput', num_person=1),
    dict(type='PackActionInputs')
]
test_pipeline = val_pipeline

train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='RepeatDataset',
        times=5,
        dataset=dict(
            type=dataset_type,
            ann_file=ann_file,
            pipeline=train_pipeline,
            split='xview_train')))
val_dataloader = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        ann_file=ann_file,
        pipeline=val_pipeline,
        split='xview_val',
        test_mode=True))
test_dataloader = val_dataloader

val_evaluator = [dict(type='AccMetric')]
test_evaluator = val_evaluator
