"""The trained translator and its file."""

# In this order: each imports only those before it.
MODULES = ("markup", "provenance", "card", "limits", "file", "model", "export")
