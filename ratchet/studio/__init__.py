"""The browser application over what a run leaves: verdict, texts, errors, comparison. It writes nothing."""
