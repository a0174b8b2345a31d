"""Files of the site, for MkDocs: the project's own pages at their own paths, so that links lead to the same places on
the site and on a file host."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = ('*.md', 'docs/**/*.md', 'benchmarks/*.md', 'projects/*/*.md')
#: What pages link to or show
LINKED = (
    'docs/site.css',
    'docs/images/*',
    'docs/study/*',
    'docs/notebooks/*.ipynb',
    'projects/*/*/*.py',
    'configs/**/*.py',
    'mmtsf/model-index.yml',
    'requirements/*.txt',
)
#: Sphinx's roles, ``:func:`name```, which Markdown does not know
ROLE = re.compile(r':(func|class|meth|mod):(?=<code>)')
#: Source code in references, and what stands for it while the search looks through a page
SOURCE, NO_SOURCE = re.compile('<details class="mkdocstrings-source">.*?</details>', re.DOTALL), '<!-- source -->'


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Pages and what they link to, by their paths in the project; the theme's own files stay."""
    theme = [file for file in files if file.src_dir != config.docs_dir]
    paths = [path.relative_to(ROOT) for pattern in (*PAGES, *LINKED) for path in sorted(ROOT.glob(pattern))]
    own = [File(str(path), str(ROOT), config.site_dir, config.use_directory_urls) for path in paths]
    return Files([*theme, *own])


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """A page whose blocks of code without a language are drawings, in which lines must not wrap."""
    if page.file.src_uri.startswith(('docs/api/', 'CHANGELOG')):
        page.meta['search'] = {'boost': 0.3}  # guides come first
    lines, is_open = [], False
    for line in markdown.split('\n'):
        if line.lstrip().startswith('```'):
            is_open = not is_open
            if is_open and line.strip() == '```':
                line = line.replace('```', '``` { .text .drawing }')
        lines.append(line)
    return '\n'.join(lines)


def on_page_content(html: str, **_: object) -> str:
    """A page without Sphinx's roles."""
    return ROLE.sub('', html)


@event_priority(100)  # before the search
def on_page_context(context: dict, page: Page, **_: object) -> None:
    """A page without source code, which would be most of the words to search."""
    page.meta['sources'] = SOURCE.findall(page.content)
    page.content = SOURCE.sub(NO_SOURCE, page.content)


def on_post_page(output: str, page: Page, **_: object) -> str:
    """A page with its source code again."""
    for source in page.meta['sources']:
        output = output.replace(NO_SOURCE, source, 1)
    return output
