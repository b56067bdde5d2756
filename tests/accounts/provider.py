"""A small OpenID Connect provider on this machine: real HTTP, real signatures, PKCE checked."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

CLIENT = {"client_id": "lumikb", "client_secret": "hush"}


class Provider(ThreadingHTTPServer):
    """`person` is who is logged in there: the claims about him."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.issuer = f"http://127.0.0.1:{self.server_port}"
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.person: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.tokens: dict[str, dict[str, Any]] = {}


class _Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        issuer = self.server.issuer
        if url.path == "/.well-known/openid-configuration":
            ends = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
            self._answer(
                {f"{name}_endpoint": f"{issuer}/{path}" for name, path in ends.items()}
                | {"issuer": issuer, "jwks_uri": f"{issuer}/keys"}
            )
        elif url.path == "/keys":
            key = json.loads(RSAAlgorithm.to_jwk(self.server.key.public_key()))
            self._answer({"keys": [key | {"kid": "1", "alg": "RS256", "use": "sig"}]})
        elif url.path == "/authorize":
            code = secrets.token_urlsafe()
            self.server.codes[code] = asked
            back = urlencode({"code": code, "state": asked["state"]})
            self.send_response(302)
            self.send_header("Location", f"{asked['redirect_uri']}?{back}")
            self.end_headers()
        elif url.path == "/userinfo":
            token = self.headers["Authorization"].removeprefix("Bearer ")
            self._answer(self.server.tokens[token])
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        sent = {name: values[0] for name, values in parse_qs(body).items()}
        asked = self.server.codes.pop(sent["code"])
        digest = hashlib.sha256(sent["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        basic = base64.b64encode(b"lumikb:hush").decode()
        knows = self.headers.get("Authorization") == f"Basic {basic}" or all(
            sent.get(name) == value for name, value in CLIENT.items()
        )
        if challenge != asked["code_challenge"] or not knows:
            self.send_error(400)
            return
        now = int(time.time())
        claims = self.server.person | {
            "iss": self.server.issuer, "aud": "lumikb", "iat": now, "exp": now + 60,
        }  # fmt: skip
        access = secrets.token_urlsafe()
        self.server.tokens[access] = dict(self.server.person)
        id_token = jwt.encode(claims, self.server.key, "RS256", headers={"kid": "1"})
        self._answer({"access_token": access, "token_type": "Bearer", "id_token": id_token})

    def _answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def provider() -> Iterator[Provider]:
    with Provider() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
