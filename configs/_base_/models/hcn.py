model = dict(
    type='RecognizerGCN',
    data_preprocessor=dict(type='SkeletonDataPreprocessor'),
    backbone=dict(type='HCN'),
    cls_head=dict(type='HCNHead'))
