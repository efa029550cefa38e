# CTR-GCN with a quarter of the channels, on NW-UCLA
_base_ = ('../../configs/ctrgcn/'
          'ctrgcn_1xb16-joint-u52-65e_nw-ucla-xview-keypoint-3d.py')

model = dict(backbone=dict(base_channels=16), cls_head=dict(in_channels=64))
