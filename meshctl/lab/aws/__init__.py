"""The lab's AWS API: moto's server, with EKS, FSx and the EC2 calls that moto lacks, credentials and faults in front.

Run by `meshctl lab up` as `python -m meshctl.lab.aws --port N --lab ROOT`. State lives as long as the process.
"""
