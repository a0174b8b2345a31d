"""A video has its name when all of it is written."""

import numpy as np
import pytest

from mmtsf.datasets.decoders import open_video
from mmtsf.visualization import write_video


@pytest.mark.parametrize('suffix', ['.mp4', '.m4v', '.mkv', '.mov', '.avi', '.gif'])
def test_a_video_that_is_stopped_leaves_no_file_and_a_whole_one_its_own(suffix, tmp_path):
    path = tmp_path / f'video{suffix}'

    def frames(stops: bool):
        for number in range(6):
            assert not path.exists()
            yield np.full((32, 48, 3), 40 * number, np.uint8)
            if stops and number == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(path, frames(stops=True), 10)
    assert list(tmp_path.iterdir()) == []
    write_video(path, frames(stops=False), 10)
    assert list(tmp_path.iterdir()) == [path]
    assert open_video(str(path)).num_frames == 6
