"""Parts of the page of tools/demo_web.py."""
