model = dict(
    type='RecognizerGCN',
    data_preprocessor=dict(type='SkeletonDataPreprocessor', center_relative=True),
    backbone=dict(type='Hyperformer'),
    cls_head=dict(
        type='GCNHead',
        in_channels=216,
        # weights from N(0, sqrt(2 / classes)), as in the authors' code
        init_cfg=dict(type='Kaiming', layer='Linear', mode='fan_out', distribution='normal')))
