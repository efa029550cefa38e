# What accuracy does the quick start reach on two threads, and how fast?
about = 'accuracy on synthetic skeletons, two threads'
benchmark = 'synthetic'
threads = 2

arms = {
    'stgcn': dict(encoder='stgcn', stdcl=False, seeds=5),
    'stdcl-stgcn': dict(encoder='stgcn', against='stgcn', seeds=5),
}
