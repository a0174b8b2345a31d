"""Keep a work dir that lies at an address: the run works in a local folder, and this copies it there and back."""
