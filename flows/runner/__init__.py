"""What every flow runs on: DVC stages under a supervisor, the workspace, progress, summary."""
