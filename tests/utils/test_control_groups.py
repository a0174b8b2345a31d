"""What control groups allow is read from those of a process and from all above."""

from pathlib import Path

import pytest

from mmtsf.utils.control_groups import cpu_limits, memory_limits


def make_groups(folder: Path, line: str, files: dict[str, str]) -> tuple[Path, Path]:
    """Make the folders of groups, and the file that lists those of a process."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f'{text}\n')
    (folder / 'cgroup').write_text(f'{line}\n')
    return folder / 'cgroup', folder


@pytest.mark.parametrize(
    ('line', 'files', 'limits'),
    [
        ('0::/job/step', {'memory.max': '500', 'job/memory.max': '300', 'job/step/memory.max': 'max'}, [300, 500]),
        ('0::/outside', {'memory.max': '500'}, [500]),
        ('4:memory:/job', {'memory/job/memory.limit_in_bytes': '300'}, [300]),
        ('5:cpu:/job', {'job/memory.max': '300'}, []),
    ],
    ids=['version 2', 'in a container', 'version 1', 'not of memory'],
)
def test_limits_of_memory_are_those_of_the_groups_and_of_all_above(line, files, limits, tmp_path) -> None:
    assert list(memory_limits(*make_groups(tmp_path, line, files))) == limits
    assert not list(memory_limits(tmp_path / 'none', tmp_path))


@pytest.mark.parametrize(
    ('line', 'files', 'limits'),
    [
        ('0::/job/step', {'cpu.max': 'max 100000', 'job/cpu.max': '250000 100000', 'job/step/cpu.max': 'max'}, [2.5]),
        ('0::/outside', {'cpu.max': '50000 100000'}, [0.5]),
        ('3:cpu,cpuacct:/a', {'cpu/a/cpu.cfs_quota_us': '400000', 'cpu/a/cpu.cfs_period_us': '100000'}, [4]),
        ('3:cpuacct,cpu:/a', {'cpu/cpu.cfs_quota_us': '30000', 'cpu/cpu.cfs_period_us': '10000'}, [3]),
        ('3:cpu:/a', {'cpu/a/cpu.cfs_quota_us': '-1', 'cpu/a/cpu.cfs_period_us': '100000'}, []),
        ('3:cpuset:/a', {'cpu/a/cpu.max': '400000 100000'}, []),
    ],
    ids=['version 2', 'in a container', 'version 1', 'in a container of version 1', 'no limit', 'not of processors'],
)
def test_limits_of_processor_time_are_those_of_the_groups_and_of_all_above(line, files, limits, tmp_path) -> None:
    assert list(cpu_limits(*make_groups(tmp_path, line, files))) == limits
    assert not list(cpu_limits(tmp_path / 'none', tmp_path))
