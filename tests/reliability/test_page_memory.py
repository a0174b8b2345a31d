"""Memory of the page over many requests."""

import pytest
from helpers import skip_without

skip_without('gradio')
from page import served
from page_memory import over_requests


@pytest.mark.long
def test_memory_of_the_page_stays_where_it_is_after_twenty_requests(tmp_path, tiny_checkpoint):
    with served(tmp_path, tiny_checkpoint) as page:
        used = list(over_requests(page, tmp_path, 120))[20:]
    assert max(used) - used[0] < 20  # MB
