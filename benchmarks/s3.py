"""An S3 server that takes objects, as slowly as it is told, and keeps only their keys.

    .venv/bin/python -m benchmarks.s3 --port 9000 --delay 2

For measurements of what stands before it: a real one would cost a core of its own.
"""

import argparse
import asyncio

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Server:
    """GET lists the keys, a line each. `delay`: seconds between an object and its answer."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.keys: set[str] = set()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it ends."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                request, *lines = head.decode().splitlines()
                method, path, _ = request.split()
                headers = {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines)}
                if headers.get("expect") == "100-continue":
                    writer.write(CONTINUE)
                await reader.readexactly(int(headers.get("content-length", "0")))
                writer.write(await self._answer(method, path))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, method: str, path: str) -> bytes:
        body = b""
        if method == "PUT":
            await asyncio.sleep(self.delay)
            self.keys.add(path)
        elif method == "DELETE":
            self.keys.discard(path)
        else:
            body = "".join(f"{key}\n" for key in sorted(self.keys)).encode()
        return b'HTTP/1.1 200 OK\r\nETag: "0"\r\nContent-Length: %d\r\n\r\n' % len(body) + body


async def serve(port: int, delay: float) -> None:
    server = await asyncio.start_server(Server(delay).talk, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds")
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.delay))
