"""What providers share: the gRPC servicer (`serve`), the values on the wire, row types, one CRUD executor, lint."""
