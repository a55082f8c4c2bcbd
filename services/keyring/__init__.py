"""The signing keys of the shop: made, rolled and retired, in a folder of files."""
