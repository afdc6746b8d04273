"""Package `meshaws`: AWS as a Pulumi provider. A resource is a row of API operations (rows/), run by `rows_engine`."""
