"""The ledger behind `conure results`: a plan, its runs as JSON, checks, and figures and a page made
of them.
"""
