model = dict(
    type='RecognizerGCN',
    data_preprocessor=dict(type='SkeletonDataPreprocessor', center_relative=True, append_joints=True),
    backbone=dict(type='BlockGCN'),
    cls_head=dict(
        type='GCNHead',
        in_channels=256,
        # standard deviation sqrt(2 / classes), as in the authors' code
        init_cfg=dict(type='Kaiming', layer='Linear', mode='fan_out', distribution='normal')))
