"""Data sets made, shown, edited and checked: `conure data import`, `show`, `edit`, `check`."""
