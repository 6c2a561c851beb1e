"""What every calibration writes: quantities with intervals, a verdict, a YAML file and one page."""
