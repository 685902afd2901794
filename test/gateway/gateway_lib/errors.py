"""errors.py: the HTTP status of an SQLSTATE, as PostgREST documents it."""
import json

EXACT = {"23503": 409, "23505": 409, "25006": 405, "21000": 500, "22023": 400, "53400": 500, "57P01": 503,
         "P0001": 400, "42883": 404, "42P01": 404, "42P17": 500}
CLASSES = {"08": 503, "09": 500, "0L": 403, "0P": 403, "25": 500, "28": 403, "2D": 500, "38": 500, "39": 500,
           "3B": 500, "40": 500, "53": 503, "54": 500, "55": 500, "57": 500, "58": 500, "F0": 500, "HV": 500,
           "P0": 500, "XX": 500}


def answer(error, is_authenticated):
    """status, reason or None, headers, body"""
    code, body = error["code"], dict(error)
    if code == "PGRST":
        envelope = json.loads(error["details"])
        return envelope["status"], envelope.get("status_text"), list(envelope["headers"].items()), json.loads(error["message"])
    reason = None
    if code == "42501":
        status = 403 if is_authenticated else 401
    elif code.startswith("PT"):
        # The raw message is the reason, and splits the answer if it may.
        status, reason = int(code[2:]) if code[2:].isdigit() else 500, error["message"]
    else:
        status = EXACT.get(code, CLASSES.get(code[:2], 400))
    return status, reason, [("WWW-Authenticate", "Bearer")] if status == 401 else [], body
