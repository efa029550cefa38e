_base_ = 'ntu60-xsub.py'

ann_file = 'data/ntu/ntu120.pkl'
# unlike CTR-GCN's script for NTU RGB+D 60, the one for NTU RGB+D 120 makes the
# second person a copy of the first if there is only one
pack = [
    dict(type='FormatGCNInput', num_person=2, mode='loop'),
    dict(type='PackActionInputs')
]
train_pipeline = [*_base_.train_pipeline[:-2], *pack]
val_pipeline = [*_base_.val_pipeline[:-2], *pack]
test_pipeline = val_pipeline

train_dataloader = dict(
    dataset=dict(ann_file=ann_file, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(ann_file=ann_file, pipeline=val_pipeline))
test_dataloader = val_dataloader
