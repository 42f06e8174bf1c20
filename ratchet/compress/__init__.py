"""Distillation, pruning, bitsandbytes and compilers."""
