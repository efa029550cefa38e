# NW-UCLA, trained on views 1 and 2, tested on view 3. The file is made by
# tools/data/nw_ucla.py; its path is relative to the working directory.
dataset_type = 'SkeletonDataset'
ann_file = 'data/nw_ucla/nw_ucla.pkl'
clip_len = 52

train_pipeline = [
    dict(type='RandomView'),
    dict(type='MinMaxNormalize'),
    dict(type='RandomSampleFrames', clip_len=clip_len),
    dict(type='PoseDecode'),
    dict(type='FormatGCNInput', num_person=1),
    dict(type='PackActionInputs')
]
# what is the same in every epoch is done once
val_prepare = [dict(type='MinMaxNormalize')]
val_pipeline = [
    dict(type='RandomSampleFrames', clip_len=clip_len, test_mode=True),
    dict(type='PoseDecode'),
    dict(type='FormatGCNInput', num_person=1),
    dict(type='PackActionInputs')
]

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
        prepare=val_prepare,
        pipeline=val_pipeline,
        split='xview_val',
        test_mode=True))
test_dataloader = val_dataloader

val_evaluator = [dict(type='AccMetric')]
test_evaluator = val_evaluator
