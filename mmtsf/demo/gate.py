"""Allow only the routes of gradio's server that the page needs."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import gradio as gr
from starlette.datastructures import MutableHeaders
from starlette.formparsers import MultiPartException
from starlette.responses import PlainTextResponse

from .folder import CACHE, below

UPLOADS = 20  # of the largest size that are kept at once
BLOCK = 2**15  # bytes that the smallest file counts as
REQUEST = 2**20  # bytes of a request that is no upload
#: What the page and its API need of gradio's server; among the rest are proxies, editors and calls of ffmpeg
ROUTES = re.compile(
    r'/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt|pwa_icon)?/?|/(assets|static|svelte)/.+'
    r'|/gradio_api/(info|startup-events|app_id|upload|upload_progress|queue/(join|data|status)|cancel|reset'
    r'|(heartbeat|call|run)/[\w/]+|file=.+)/?'
)


class FilesOnly(gr.route_utils.GradioMultiPartParser):
    """Accept only files in an upload: other form fields would be held in memory."""

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        if self._current_part.file is None:
            raise MultiPartException('The upload has a part without a file name, expected files alone')


gr.route_utils.GradioMultiPartParser = FilesOnly  # type: ignore[misc]  # all uploads go through it


class Gate:
    """Allow only the routes that the page needs, and serve files as inactive content.

    Args:
        app (Callable): The server.
        max_bytes (int): Size of an upload.
    """

    def __init__(self, app: Callable, max_bytes: int) -> None:
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope['type'] == 'lifespan':
            return await self.app(scope, receive, send)
        status, words = self.answer(scope) if scope['type'] == 'http' else (404, 'Not found')
        if words:
            return await PlainTextResponse(words, status)(scope, receive, send)

        async def inactive(message: dict) -> None:
            if message['type'] == 'http.response.start':
                MutableHeaders(scope=message)['X-Content-Type-Options'] = 'nosniff'
                if scope['path'].startswith('/gradio_api/'):
                    MutableHeaders(scope=message)['Content-Security-Policy'] = 'sandbox'
            await send(message)

        left = int(dict(scope['headers']).get(b'content-length', 0)) if scope['method'] == 'POST' else 0

        async def no_more_than_said() -> dict:
            nonlocal left
            message = await receive()
            left -= len(message.get('body', b''))
            return message if left >= 0 else {'type': 'http.disconnect'}

        return await self.app(scope, no_more_than_said, inactive)

    def answer(self, scope: dict) -> tuple[int, str]:
        """Return why a request is refused; an empty text if it is allowed."""
        path, names = scope['path'], [name for name, _ in scope['headers']]
        file = path.partition('/gradio_api/file=')[2]
        if not ROUTES.fullmatch(path) or file and not Path(os.path.abspath(file)).is_relative_to(CACHE):
            return 404, 'Not found'
        if scope['method'] != 'POST':
            return 200, ''
        length = dict(scope['headers']).get(b'content-length', b'')
        if not length.isdigit() or names.count(b'content-length') > 1 or b'transfer-encoding' in names:
            return 411, 'The request does not say its length'
        is_upload = path.startswith('/gradio_api/upload')
        if int(length) > REQUEST + is_upload * self.max_bytes:
            return 413, 'The request exceeds the maximum allowed size'
        if is_upload and sum(found.st_size + BLOCK for _, found in below(CACHE)) > UPLOADS * self.max_bytes:
            return 507, 'This page holds as many uploads as it may: try again later'
        return 200, ''
