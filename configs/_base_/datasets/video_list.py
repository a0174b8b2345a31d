# A data set of annotation lists: data.root/{train,val,test}_list.txt with lines "path label"
_base_ = '../pipelines.py'

data = dict(
    root='data',
    num_classes=2,
    classes=None,  # file with a class name a line
    multi_class=False,
    sampling='rate',
    flip_ratio=0.5,
    skip_broken=False,
    train_list='train_list.txt',
    val_list='val_list.txt',
    test_list='val_list.txt',
    video_dir='',
    train=dict(
        type='VideoListDataset',
        ann_file='${data.train_list}',
        pipeline='${train_pipeline}',
        num_classes='${data.num_classes}',
        data_root='${data.root}',
        video_dir='${data.video_dir}',
        classes='${data.classes}',
        multi_class='${data.multi_class}'))
data['val'] = dict(data['train'], ann_file='${data.val_list}', pipeline='${val_pipeline}', test_mode=True,
                   skip_broken='${data.skip_broken}')
data['test'] = dict(data['val'], ann_file='${data.test_list}', pipeline='${test_pipeline}')
