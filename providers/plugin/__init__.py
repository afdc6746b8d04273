"""What any Pulumi plugin needs: the gRPC servicer (`serve`), its messages, a provider's methods, values on the wire."""
