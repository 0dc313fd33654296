"""What moto lacks or answers otherwise than AWS, a module a service."""
