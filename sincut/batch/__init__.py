"""Many pictures: what is to be done, by whom, and what is done already."""

# In this order: each imports only those before it.
MODULES = ("remote", "manifest", "watch", "folder", "cluster")
