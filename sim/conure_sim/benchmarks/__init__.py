"""Speed of the environments: `conure bench sim`."""
