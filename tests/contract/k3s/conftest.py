"""Hosts in memory for every test here."""

from tests.contract.k3s.test_operations import kubeconfig, lab

__all__ = ["kubeconfig", "lab"]
