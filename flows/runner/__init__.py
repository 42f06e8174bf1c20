"""The runner of all flows: DVC stages under a supervisor, the workspace, progress, summary."""
