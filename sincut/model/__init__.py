"""The trained translator: its model file, its limits, its provenance, its card for notebooks, its export to ONNX."""

# In this order: each imports only those before it.
MODULES = ("markup", "provenance", "card", "limits", "file", "exemplar", "kinds", "model", "carry", "export")
