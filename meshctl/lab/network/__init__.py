"""The lab's load balancers and DNS: `python -m meshctl.lab.network --lab ROOT`. EDGE.

Started by `lab up`. `balancers` gives Services an address, `forwarder` forwards their connections; `dns_server` answers
from the lab's Route 53 zones.
"""
