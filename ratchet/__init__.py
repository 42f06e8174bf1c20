"""How it is done: the methods of text classification, in memory, a folder per concern."""
