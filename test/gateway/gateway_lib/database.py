"""database.py: one pooled connection, with the fields of errors that PostgREST reads."""
import ctypes

from load_lib import libpq

pq = libpq.pq
pq.PQresultErrorField.restype = ctypes.c_char_p
pq.PQresultErrorField.argtypes = (ctypes.c_void_p, ctypes.c_int)
FIELDS = {"code": "C", "message": "M", "details": "D", "hint": "H"}


class ServerError(Exception):
    """An error of the server: code, message, details, hint."""

    def __init__(self, fields):
        super().__init__(fields["message"])
        self.fields = fields


class Connection:
    def __init__(self, conninfo):
        self.connection = pq.PQconnectdb(conninfo.encode())
        if pq.PQstatus(self.connection) != libpq.CONNECTION_OK:
            raise SystemExit(pq.PQerrorMessage(self.connection).decode())

    def rows(self, sql, values=()):
        result = pq.PQexecParams(self.connection, sql.encode(), len(values), None, libpq.as_array(values), None, None, 0)
        try:
            if pq.PQresultStatus(result) not in libpq.GOOD_RESULTS:
                raise ServerError({name: self.field(result, letter) for name, letter in FIELDS.items()})
            return [[None if pq.PQgetisnull(result, row, column) else pq.PQgetvalue(result, row, column).decode()
                     for column in range(pq.PQnfields(result))] for row in range(pq.PQntuples(result))]
        finally:
            pq.PQclear(result)

    @staticmethod
    def field(result, letter):
        value = pq.PQresultErrorField(result, ord(letter))
        return None if value is None else value.decode()
