"""The Inventory service: the catalogue and the stock."""
