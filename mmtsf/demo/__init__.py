"""Build the demo page of tools/demo_web.py."""
