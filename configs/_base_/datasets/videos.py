# Videos with labels: from annotation lists, a folder of class folders, or shards, as is found in data.root:
#   --cfg-options data.root=/videos
_base_ = '../pipelines.py'

data = dict(
    source='auto',  # or 'list', 'folder' or 'shards': what data.root holds, see docs/data.md
    root='data',
    num_classes=2,  # a folder of classes in another root tells the number itself
    multi_class=False,
    sampling='rate',  # or 'segments' or 'cover', see pipelines.py
    released_loader='kinetics',  # or 'ssv2': which of theirs protocol=released follows, see released_protocol.py
    flip_ratio=0.5,
    augmentation='${training.augmentation}',  # 'plain' or 'strong', in training, see pipelines.py
    clips_per_video='${training.clips_per_video}',  # in training, from one decoding of a video
    skip_broken=False,  # in testing
    time_limit=60,  # seconds for reading a video
    allow_outside=False,  # whether paths of a list may lead out of root/video_dir
    # source='list': lines "path label", paths relative to root/video_dir
    train_list='train_list.txt',
    val_list='val_list.txt',
    test_list=None,  # that of val_list
    video_dir='',
    classes=None,  # file with a class name a line
    default_classes=None,  # else the names that come with the package: kinetics400, kinetics600, ssv2 or diving48
    # source='folder': root/CLASS/VIDEO, of which these shares are held out; of shards without splits, too
    split_shares=(0.1, 0.2),
    split_seed=0,
    # source='shards': how many of them are read at a time in training; None: samples come in any order
    window=None,
)

_train = dict(
    num_classes='${data.num_classes}',
    default_classes='${data.default_classes}',
    data_root='${data.root}',
    time_limit='${data.time_limit}',
    pipeline='${train_pipeline}',
)
_held_out = dict(test_mode=True, skip_broken='${data.skip_broken}')
_val = dict(_train, pipeline='${val_pipeline}', **_held_out)
_test = dict(_train, pipeline='${test_pipeline}', **_held_out)
_list = dict(
    type='VideoListDataset',
    video_dir='${data.video_dir}',
    classes='${data.classes}',
    multi_class='${data.multi_class}',
    allow_outside='${data.allow_outside}',
)
_folder = dict(type='VideoFolderDataset', split_shares='${data.split_shares}', split_seed='${data.split_seed}')
_shards = dict(
    _folder,
    type='VideoShardsDataset',
    classes='${data.classes}',
    multi_class='${data.multi_class}',
    window='${data.window}',
)
sources = dict(
    list=dict(
        train=dict(_list, ann_file='${data.train_list}', **_train),
        val=dict(_list, ann_file='${data.val_list}', **_val),
        test=dict(_list, ann_file='${data.test_list}', **_test),
    ),
    folder=dict(
        train=dict(_folder, split='train', **_train),
        val=dict(_folder, split='val', **_val),
        test=dict(_folder, split='test', **_test),
    ),
    shards=dict(
        train=dict(_shards, split='train', **_train),
        val=dict(_shards, split='val', **_val),
        test=dict(_shards, split='test', **_test),
    ),
)
del _train, _held_out, _val, _test, _list, _folder, _shards
