"""What goes in, what comes out: one module, one DVC stage, one params block, one test file."""
