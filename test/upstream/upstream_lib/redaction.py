"""redaction.py: request headers as they may be shown: what is secret keeps only its scheme."""

SECRET_HEADERS = frozenset(("authorization", "proxy-authorization", "cookie", "x-api-key", "x-amz-security-token"))


def shown_headers(headers):
    shown = {}
    for name, value in (headers or {}).items():
        name, value = name.decode("latin-1"), value.decode("latin-1")
        if name in SECRET_HEADERS:
            scheme, space, _ = value.partition(" ")
            value = f"{scheme} <redacted>" if space else "<redacted>"
        shown[name] = value
    return shown
