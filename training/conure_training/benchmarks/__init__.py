"""Speed against baselines: `conure bench training`."""
