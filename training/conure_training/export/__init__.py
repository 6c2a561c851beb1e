"""ONNX bundles."""
