"""org_id.py: Salesforce record ids of 15 and of 18 characters."""
import secrets
import string

ALPHABET = string.ascii_uppercase + string.digits[:6]
ID_CHARACTERS = string.ascii_letters + string.digits


def to_18(record_id):
    """The 18-character form; ValueError when the text is no id or its checksum is wrong."""
    if len(record_id) not in (15, 18) or not all(c in ID_CHARACTERS for c in record_id):
        raise ValueError("a record id has 15 or 18 letters and digits")
    short = record_id[:15]
    full = short + "".join(checksum(short[i:i + 5]) for i in (0, 5, 10))
    if len(record_id) == 18 and record_id.upper() != full.upper():
        raise ValueError("the record id's checksum is wrong")
    return full


def checksum(five):
    return ALPHABET[sum(1 << i for i, c in enumerate(five) if c in string.ascii_uppercase)]


def new_id(prefix):
    return to_18(prefix + "".join(secrets.choice(ID_CHARACTERS) for _ in range(15 - len(prefix))))
