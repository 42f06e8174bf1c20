"""One module a kind of bundle: how it is loaded, and how an engine compiles one."""
