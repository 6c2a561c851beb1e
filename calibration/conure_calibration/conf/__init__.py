"""Configuration of the verbs, one YAML file each."""
