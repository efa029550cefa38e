# BlockGCN's schedule for NTU on one GPU: twice Hyperformer's learning rate
_base_ = 'sgd_140e.py'

optim_wrapper = dict(optimizer=dict(lr=0.05))
