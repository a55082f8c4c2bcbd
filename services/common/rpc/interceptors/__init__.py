"""What happens around every call, one class a file."""
