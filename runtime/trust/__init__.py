"""How far a search can be trusted: supernet against stand-alone accuracy, searches against random search."""
