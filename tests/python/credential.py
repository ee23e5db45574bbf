"""The credential that both agents ask for, where somebody wants the extended card."""

CREDENTIAL = b"Bearer let-me-in"
PATHS = ("/extendedAgentCard", "/v1/card", "/agent/authenticatedExtendedCard")
METHODS = (b'"GetExtendedAgentCard"', b'"agent/getAuthenticatedExtendedCard"')
# Longer requests ask for something else.
REQUEST_BYTES_MAX = 1000


class Guard:
    """Answers 401, as the binding of the protocol has it, to those who do not show it."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        fields = dict(scope["headers"])
        asked = scope["path"] in PATHS
        length = int(fields.get(b"content-length", b"0"))
        if 0 < length < REQUEST_BYTES_MAX:
            body = b""
            while len(body) < length:
                message = await receive()
                if message["type"] != "http.request":
                    return
                body += message["body"]
            asked = asked or any(method in body for method in METHODS)
            receive = again(body, receive)
        if asked and fields.get(b"authorization") != CREDENTIAL:
            challenge = [(b"www-authenticate", b'Bearer realm="agent"'), (b"content-length", b"2")]
            await send({"type": "http.response.start", "status": 401, "headers": challenge})
            await send({"type": "http.response.body", "body": b"no"})
            return
        await self.app(scope, receive, send)


def again(body, receive):
    """A `receive` that yields this body first."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def first():
        return left.pop() if left else await receive()

    return first
