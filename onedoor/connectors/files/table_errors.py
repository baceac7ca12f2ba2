"""Build the errors of files that are larger than may be read of one file, whatever their format."""

from onedoor.errors import ConnectorError, ErrorCode


def build_read_limit_error(read_bytes: int) -> ConnectorError:
    return ConnectorError(
        f"finding these rows takes more of the file than the limit `read_bytes` of {read_bytes}; ask for fewer rows",
        ErrorCode.LIMIT_EXCEEDED,
    )


def build_rows_too_large_error() -> ConnectorError:
    return ConnectorError("the rows are too large; ask for fewer rows or fewer columns", ErrorCode.LIMIT_EXCEEDED)
