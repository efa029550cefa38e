# NW-UCLA with 64 frames, because HCN needs a multiple of 16 frames
_base_ = 'nw-ucla-xview.py'

clip_len = 64
clip_shape = (1, clip_len, 20, 3)  # persons, frames, joints, channels

train_pipeline = _base_.train_pipeline
train_pipeline[2].clip_len = clip_len  # RandomSampleFrames
val_pipeline = _base_.val_pipeline
val_pipeline[1].clip_len = clip_len  # RandomSampleFrames
test_pipeline = val_pipeline

train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
