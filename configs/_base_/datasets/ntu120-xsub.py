_base_ = 'ntu60-xsub.py'

ann_file = 'data/ntu/ntu120.pkl'
train_dataloader = dict(dataset=dict(ann_file=ann_file))
val_dataloader = dict(dataset=dict(ann_file=ann_file))
test_dataloader = val_dataloader
