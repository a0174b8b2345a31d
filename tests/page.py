"""The page of ``mmtsf demo``, served by a process of its own, and its visitors without a browser."""

import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import warm
from runs import ROOT, TINY, free_port


class Served(NamedTuple):
    """A page that runs."""

    address: str
    pid: int
    temporary: Path  # folder for all its temporary files
    log: Path

    def files(self) -> list[Path]:
        """Uploads, results and whatever else lies in its temporary folder."""
        # os.walk passes over folders that are deleted meanwhile
        return [Path(parent, name) for parent, _, names in os.walk(self.temporary) for name in names]

    def is_working(self) -> bool:
        """Whether it has a video open: one that was uploaded, or its own."""
        for file in Path(f'/proc/{self.pid}/fd').iterdir():
            with suppress(OSError):
                if file.readlink().is_relative_to(self.temporary) and file.readlink().suffix:
                    return True
        return False

    def megabytes(self, what: str = 'VmRSS') -> float:
        """Memory in use, or with ``'VmHWM'`` the most that was."""
        lines = Path(f'/proc/{self.pid}/status').read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f'{what}:')) / 1024


@contextmanager
def served(folder: Path, checkpoint: Path, *words: Any, config: Any = TINY, **variables: str) -> Iterator[Served]:
    """Start the page with a small model and wait until it answers; then end it and see that it leaves nothing."""
    port, log, temporary = free_port(), folder / 'log', folder / 'temporary'
    temporary.mkdir(exist_ok=True)
    before, end = set(temporary.iterdir()), time.monotonic() + 300
    command = ['tools/demo_web.py', config, checkpoint, '--port', port, *words]
    environment = dict(os.environ, OMP_NUM_THREADS='1', TMPDIR=str(temporary)) | variables
    with log.open('w') as out:
        server = warm.start([*map(str, command)], ROOT, environment, out)
    page = Served(f'http://127.0.0.1:{port}', server.pid, temporary, log)
    try:
        while 'The page is at' not in log.read_text():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield page
    finally:
        server.terminate()
        server.wait()
    assert set(temporary.iterdir()) <= before


@cache
def config_of(address: str) -> dict:
    """What a page tells a browser of its parts."""
    import httpx

    return httpx.get(f'{address}/config', timeout=120, verify=False).json()


class Visitor:
    """Somebody who uploads videos and asks what they are, over HTTP."""

    def __init__(self, page: Served) -> None:
        import httpx

        self.http = httpx.Client(base_url=page.address, timeout=120, verify=False)  # or it reads all certificates
        self.session = uuid.uuid4().hex[:10]
        config = config_of(page.address)
        self.functions = {f['api_name']: f['id'] for f in config['dependencies']}
        self.function = self.functions['classify']
        self.samples = [sample[0]['path'] for c in config['components'] for sample in c['props'].get('samples') or ()]

    def upload(self, content: Path | str | bytes, name: str | None = None) -> Any:
        """Upload a file, or such content, and return what names it."""
        name = name or getattr(content, 'name', None) or 'video.mp4'
        data = content.read_bytes() if isinstance(content, Path) else content
        answer = self.http.post('/gradio_api/upload', files={'files': (name, data)})
        assert answer.status_code == 200, answer.text
        return {'path': answer.json()[0], 'meta': {'_type': 'gradio.FileData'}}

    def join(self, video: Any, clips: Any = 1, crops: Any = 1, frames: Any = 8, attention: Any = 'all blocks') -> Any:
        """Ask what a video is, and return the answer to that."""
        body = dict(data=[video, clips, crops, frames, attention], fn_index=self.function, session_hash=self.session)
        return self.http.post('/gradio_api/queue/join', json=body)

    def messages(self) -> Iterator[dict]:
        """Messages of the page, as they come."""
        query = dict(session_hash=self.session)
        with self.http.stream('GET', '/gradio_api/queue/data', params=query) as stream:
            for line in stream.iter_lines():
                if line.startswith('data:'):
                    message = json.loads(line[5:])
                    yield message
                    if message['msg'] == 'process_completed':
                        return

    def ask(self, video: Any, *settings: Any) -> dict:
        """What the page says in the end: ``data``, or ``error``."""
        answer = self.join(video, *settings)
        assert answer.status_code == 200, answer.text
        for message in self.messages():
            last = message
        return last['output']

    def names(self, output: dict) -> dict[str, float]:
        """Names and scores."""
        return {row['name']: row['score'] for row in output['data'][0]['best']}

    def fetch(self, path: str) -> Any:
        """A file of the page."""
        return self.http.get(f'/gradio_api/file={path}')
