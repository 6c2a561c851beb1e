"""Speed beside peers: `conure bench training`."""
