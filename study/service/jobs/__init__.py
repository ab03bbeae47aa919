"""The jobs that run studies, and the service's own Ray cluster for them."""
