"""A service account made up: its key as the JSON that Google gives out, another at every call."""

import json

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

EMAIL = "onedoor@acme-demo.iam.gserviceaccount.example"
TOKEN_URI = "https://oauth2.googleapis.com/token"


def service_account(token_uri: str = TOKEN_URI) -> str:
    private = generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    said = {
        "type": "service_account",
        "project_id": "acme-demo",
        "private_key_id": f"{private.public_key().public_numbers().n & (1 << 160) - 1:040x}",
        "private_key": pem,
        "client_email": EMAIL,
        "client_id": "100000000000000000000",
        "token_uri": token_uri,
    }
    return json.dumps(said)
