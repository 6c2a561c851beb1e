"""The behavioral prior: flow, image encoder, training."""
