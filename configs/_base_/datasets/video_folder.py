# A folder of class folders, data.root/CLASS/VIDEO, split by a seed; no annotation file
_base_ = '../pipelines.py'

data = dict(
    root='data',
    num_classes=2,
    sampling='rate',
    flip_ratio=0.5,
    skip_broken=False,
    split_shares=(0.1, 0.2),
    split_seed=0,
    train=dict(
        type='VideoFolderDataset',
        split='train',
        pipeline='${train_pipeline}',
        num_classes='${data.num_classes}',
        data_root='${data.root}',
        split_shares='${data.split_shares}',
        split_seed='${data.split_seed}'))
data['val'] = dict(data['train'], split='val', pipeline='${val_pipeline}', test_mode=True,
                   skip_broken='${data.skip_broken}')
data['test'] = dict(data['val'], split='test', pipeline='${test_pipeline}')
