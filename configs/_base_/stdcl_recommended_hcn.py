# The recommended variant for HCN, whose blocks are conv5 and conv6: decouple
# the output of conv5, which has half as many channels as that of conv6.
_base_ = 'stdcl_recommended.py'

stdcl_recommended = dict(
    contrast_block=1,
    cls_head=dict(decoupler=dict(in_channels=128)))
