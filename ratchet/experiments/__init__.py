"""Online experiments: assignment, evidence, sequential tests, guardrails, rollout."""
