"""The command line: releases, the audit log, what a change did."""
