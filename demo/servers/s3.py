"""Run S3 with Acme's bucket, which takes any key."""

import logging
import os
import signal
import sys
from fractions import Fraction

from demo.data.files import files, get_content_type
from demo.servers.run import HOST, build_parser, check_s3_calls, end_with_parent

BUCKET = "acme-files"

REGION = "us-east-1"


def main() -> None:
    chosen = build_parser("s3").parse_args()
    end_with_parent(chosen.parent)
    if not os.environ.get("S3_SECRET_KEY"):
        sys.exit("S3_SECRET_KEY is not set; set it to the secret that addresses shall be signed with")
    for signal_number in (
        signal.SIGTERM,
        signal.SIGINT,
    ):  # a shell may have set the second aside for what runs behind it
        signal.signal(signal_number, lambda *_: sys.exit(0))
    seed(chosen.scale)
    serve(chosen.port)


def seed(scale: Fraction | float) -> None:
    """Fill moto's memory directly, as 2,000 objects take seven seconds over the wire."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    backend.create_bucket(BUCKET, REGION)
    for file in files(scale):
        key = backend.put_object(BUCKET, file.key, file.body)
        key.set_metadata({"Content-Type": get_content_type(file.key)})
        key.last_modified = file.modified.replace(tzinfo=None)


def serve(port: int) -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = check_s3_calls(DomainDispatcherApplication(create_backend_app), os.environ["S3_SECRET_KEY"])
    make_server(HOST, port, application, threaded=True, request_handler=MotoRequestHandler).serve_forever()


if __name__ == "__main__":
    main()
