"""What requests are answered with: read from the store, made once for all who ask, kept while it is true."""
