# NTU RGB+D 60, X-Sub, preprocessed as for the published results.
# tools/data/ntu_rgbd.py writes the annotation file; its path is relative to
# the working directory.
dataset_type = 'SkeletonDataset'
ann_file = 'data/ntu/ntu60.pkl'
clip_len = 64
clip_shape = (2, clip_len, 25, 3)  # persons, frames, joints, channels

train_pipeline = [
    dict(type='DropEmptyFrames'),
    dict(type='CenterOnJoint'),
    dict(type='CropResize', clip_len=clip_len),
    dict(type='RandomRotation'),
    dict(type='FormatGCNInput', num_person=2),
    dict(type='PackActionInputs')
]
val_pipeline = [
    dict(type='DropEmptyFrames'),
    dict(type='CenterOnJoint'),
    dict(type='CropResize', clip_len=clip_len, proportion=0.95),
    dict(type='FormatGCNInput', num_person=2),
    dict(type='PackActionInputs')
]
test_pipeline = val_pipeline

train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        ann_file=ann_file,
        pipeline=train_pipeline,
        split='xsub_train'))
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        ann_file=ann_file,
        pipeline=val_pipeline,
        split='xsub_val',
        test_mode=True))
test_dataloader = val_dataloader

val_evaluator = [dict(type='AccMetric')]
test_evaluator = val_evaluator
