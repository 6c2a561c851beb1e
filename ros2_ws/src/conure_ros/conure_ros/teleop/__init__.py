"""A person moves the arm: keyboards, pads and what watches them."""
