"""What a client sees: Locust load on the three services, cached beside uncached, and its report."""
