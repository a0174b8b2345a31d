"""Search for the words of a config whose training validates best."""
