# BlockGCN with a quarter of the channels, on the joints of JHMDB
_base_ = ('../../configs/blockgcn/'
          'blockgcn_1xb16-joint-u32-60e_jhmdb-keypoint-2d.py')

model = dict(backbone=dict(base_channels=32), cls_head=dict(in_channels=64))
