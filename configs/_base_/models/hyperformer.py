model = dict(
    type='RecognizerGCN',
    data_preprocessor=dict(type='SkeletonDataPreprocessor', center_relative=True),
    backbone=dict(type='Hyperformer'),
    cls_head=dict(
        type='GCNHead',
        in_channels=216,
        # standard deviation sqrt(2 / classes), as in the authors' code
        init_cfg=dict(type='Kaiming', layer='Linear', mode='fan_out', distribution='normal')))
