"""One API call, from arguments to bytes and back."""
