"""meshctl makes a GPU deployment portable: described once, run on AWS, CoreWeave or on-prem, and moved."""

__version__ = "0.3.0.dev0"
