"""The User service: who the customers and administrators are."""
