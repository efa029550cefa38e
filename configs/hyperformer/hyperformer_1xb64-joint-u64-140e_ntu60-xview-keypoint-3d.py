_base_ = [
    '../_base_/models/hyperformer.py', '../_base_/datasets/ntu60-xview.py',
    '../_base_/schedules/sgd_140e.py', '../_base_/default_runtime.py'
]

model = dict(
    data_preprocessor=dict(layout='nturgb+d'),
    backbone=dict(layout='nturgb+d'),
    cls_head=dict(num_classes=60))

# the release of STD-CL uses this learning rate only on this benchmark
optim_wrapper = dict(optimizer=dict(lr=0.01))
