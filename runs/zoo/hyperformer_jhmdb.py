# Hyperformer with 48 of 216 channels, on the joints of JHMDB
_base_ = ('../../configs/hyperformer/'
          'hyperformer_1xb16-joint-u32-60e_jhmdb-keypoint-2d.py')

model = dict(backbone=dict(base_channels=48, num_heads=2),
             cls_head=dict(in_channels=48))
