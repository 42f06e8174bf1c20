"""Production windows against a reference: drift, estimated and delayed performance, slices, traffic."""
