"""Technical documentation that fills itself: sentences around measured figures, each with its file, sealed together."""
