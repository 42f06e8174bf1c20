"""The log of predictions and feedback: tables, database, writer, compaction, rules, migrations."""
