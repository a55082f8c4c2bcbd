"""Three e-commerce microservices, the mechanism they share and the stack that runs them."""
