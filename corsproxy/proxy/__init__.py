"""The data path: client and upstream connections, the exchanges between them, and their faults."""
