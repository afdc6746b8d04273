"""Error codes that a call of an AWS API can end with. PURE.

Called by `faults`: a fault with another code would test what nobody ever sees. Sources, read on 2026-11-30: the errors
of each operation in botocore's models; "Common errors" of the services' API references; "Error codes for the Amazon EC2
API", EC2 developer guide, of which the codes that have to do with what meshctl makes are here, as EC2's model has none;
"Error responses", Amazon S3 API reference.
"""

from __future__ import annotations

from typing import Any, Final

# Of services that speak JSON.
_JSON: Final = frozenset(
    {
        *("AccessDeniedException", "ExpiredTokenException", "InvalidSignatureException", "MissingAuthenticationToken"),
        *("IncompleteSignature", "InternalFailure", "InternalServerError", "NotAuthorized", "OptInRequired"),
        *("RequestExpired", "ServiceUnavailable", "ServiceUnavailableException", "ThrottlingException"),
        *("UnrecognizedClientException", "UnknownOperationException", "ValidationError", "ValidationException"),
        *("RequestTimeoutException", "TooManyRequestsException", "SerializationException"),
    }
)
# Of those that speak XML.
_XML: Final = frozenset(
    {
        *("AccessDenied", "ExpiredToken", "IncompleteSignature", "InternalError", "InternalFailure", "InvalidAction"),
        *("InvalidClientTokenId", "InvalidParameterCombination", "InvalidParameterValue", "InvalidQueryParameter"),
        *("MalformedQueryString", "MissingAction", "MissingAuthenticationToken", "MissingParameter", "OptInRequired"),
        *("RequestExpired", "ServiceUnavailable", "SignatureDoesNotMatch", "Throttling", "ValidationError"),
    }
)
_EC2: Final = frozenset(
    {
        *("AuthFailure", "Blocked", "DryRunOperation", "IdempotentParameterMismatch", "IncompleteSignature"),
        *("InvalidAction", "InvalidCharacter", "InvalidClientTokenId", "InvalidPaginationToken", "InvalidParameter"),
        *("InvalidParameterCombination", "InvalidParameterValue", "InvalidQueryParameter", "MalformedQueryString"),
        *("MissingAction", "MissingAuthenticationToken", "MissingParameter", "OptInRequired", "PendingVerification"),
        *("RequestExpired", "UnauthorizedOperation", "UnknownParameter", "UnsupportedOperation", "ValidationError"),
        *("InternalError", "InternalFailure", "RequestLimitExceeded", "ServiceUnavailable", "Unavailable"),
        *("InsufficientAddressCapacity", "InsufficientCapacity", "InsufficientInstanceCapacity"),
        *("AddressLimitExceeded", "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded", "NatGatewayLimitExceeded"),
        *("SecurityGroupLimitExceeded", "SubnetLimitExceeded", "VcpuLimitExceeded", "VpcLimitExceeded"),
        *("DependencyViolation", "IncorrectState", "InvalidState", "OperationNotPermitted", "Unsupported"),
        *("InvalidAddress.NotFound", "InvalidAllocationID.NotFound", "InvalidCapacityReservationId.NotFound"),
        *("InvalidGroup.Duplicate", "InvalidGroup.InUse", "InvalidGroup.NotFound", "InvalidGroupId.Malformed"),
        *("InvalidInstanceID.NotFound", "InvalidInternetGatewayID.NotFound", "InvalidNetworkInterfaceID.NotFound"),
        *("InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateName.AlreadyExistsException"),
        *("InvalidPermission.Duplicate", "InvalidPermission.NotFound", "InvalidRoute.NotFound"),
        *("InvalidPlacementGroup.Duplicate", "InvalidPlacementGroup.InUse", "InvalidPlacementGroup.Unknown"),
        *("InvalidRouteTableID.NotFound", "InvalidSubnet.Conflict", "InvalidSubnetID.NotFound"),
        *("InvalidSubnet.Range", "InvalidVpc.Range", "InvalidVpcEndpointId.NotFound", "InvalidVpcID.NotFound"),
        *(
            "NatGatewayNotFound",
            "Resource.AlreadyAssociated",
            "RouteAlreadyExists",
            "RulesPerSecurityGroupLimitExceeded",
        ),
    }
)
_S3: Final = frozenset(
    {
        *("AccessDenied", "BucketAlreadyExists", "BucketAlreadyOwnedByYou", "BucketNotEmpty", "ExpiredToken"),
        *("InternalError", "InvalidAccessKeyId", "InvalidArgument", "InvalidBucketName", "InvalidRequest"),
        *("InvalidToken", "MalformedPolicy", "MethodNotAllowed", "NoSuchBucket", "NoSuchBucketPolicy", "NoSuchKey"),
        *("NoSuchUpload", "NotImplemented", "OperationAborted", "RequestTimeTooSkewed", "RequestTimeout"),
        *("ServiceUnavailable", "SignatureDoesNotMatch", "SlowDown", "TooManyBuckets"),
    }
)
_OF_SERVICE: Final = {"ec2": _EC2, "s3": _S3}


def codes_of(model: Any, operation: str) -> frozenset[str]:
    """Of one operation. `model`: botocore's of the service, which knows the operation."""
    shapes = model.operation_model(operation).error_shapes
    modelled = {code for shape in shapes for code in (shape.name, shape.error_code) if code}
    common = _JSON if "json" in model.metadata.get("protocol", "") else _XML
    return frozenset(modelled) | _OF_SERVICE.get(model.service_name, common)
