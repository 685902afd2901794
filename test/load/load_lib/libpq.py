"""libpq.py: sessions through libpq itself, so that both protocols are what drivers speak."""
import ctypes
import ctypes.util
import os
import subprocess

CONNECTION_OK = 0
GOOD_RESULTS = (1, 2)  # PGRES_COMMAND_OK, PGRES_TUPLES_OK


def load():
    directory = subprocess.run([os.environ.get("PG_CONFIG", "pg_config"), "--libdir"],
                               check=True, capture_output=True, text=True).stdout.strip()
    path = os.path.join(directory, "libpq.so.5")
    library = ctypes.CDLL(path if os.path.exists(path) else ctypes.util.find_library("pq"))
    pointer, text, integer = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    texts = ctypes.POINTER(text)
    for name, result, arguments in (
            ("PQconnectdb", pointer, (text,)),
            ("PQstatus", integer, (pointer,)),
            ("PQerrorMessage", text, (pointer,)),
            ("PQbackendPID", integer, (pointer,)),
            ("PQfinish", None, (pointer,)),
            ("PQexec", pointer, (pointer, text)),
            ("PQexecParams", pointer, (pointer, text, integer, pointer, texts, pointer, pointer, integer)),
            ("PQprepare", pointer, (pointer, text, text, integer, pointer)),
            ("PQexecPrepared", pointer, (pointer, text, integer, texts, pointer, pointer, integer)),
            ("PQresultStatus", integer, (pointer,)),
            ("PQresultErrorMessage", text, (pointer,)),
            ("PQntuples", integer, (pointer,)),
            ("PQnfields", integer, (pointer,)),
            ("PQgetvalue", text, (pointer, integer, integer)),
            ("PQgetisnull", integer, (pointer, integer, integer)),
            ("PQclear", None, (pointer,))):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


pq = load()


class DatabaseError(Exception):
    pass


def as_array(values):
    """Parameters in libpq's form; make them before the clock runs."""
    return (ctypes.c_char_p * len(values))(*[None if v is None else str(v).encode() for v in values])


class Session:
    """One connection. Where to is in PGHOST and the like."""

    def __init__(self):
        self.connection = pq.PQconnectdb(b"application_name=bench")
        if pq.PQstatus(self.connection) != CONNECTION_OK:
            message = pq.PQerrorMessage(self.connection).decode()
            self.close()
            raise DatabaseError(message)
        self.pid = pq.PQbackendPID(self.connection)

    def close(self):
        pq.PQfinish(self.connection)
        self.connection = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def take(self, result):
        """Number of rows of a result; an error of the server is raised."""
        if pq.PQresultStatus(result) not in GOOD_RESULTS:
            message = pq.PQresultErrorMessage(result).decode() or pq.PQerrorMessage(self.connection).decode()
            pq.PQclear(result)
            raise DatabaseError(message.strip())
        rows = pq.PQntuples(result)
        pq.PQclear(result)
        return rows

    def simple(self, sql):
        """Runs bytes of SQL in the simple protocol."""
        return self.take(pq.PQexec(self.connection, sql))

    def prepare(self, name, sql):
        self.take(pq.PQprepare(self.connection, name.encode(), sql.encode(), 0, None))

    def prepared(self, name, parameters):
        """Runs a prepared statement (its name in bytes) with the parameters of as_array()."""
        return self.take(pq.PQexecPrepared(self.connection, name, len(parameters), parameters, None, None, 0))

    def prepared_value(self, name, parameters):
        """The first value that a prepared statement answers."""
        result = pq.PQexecPrepared(self.connection, name, len(parameters), parameters, None, None, 0)
        value = pq.PQgetvalue(result, 0, 0).decode() if pq.PQresultStatus(result) in GOOD_RESULTS else None
        self.take(result)
        return value

    def rows(self, sql, *values):
        """All rows as lists of text, None for NULL."""
        result = pq.PQexecParams(self.connection, sql.encode(), len(values), None, as_array(values), None, None, 0)
        if pq.PQresultStatus(result) not in GOOD_RESULTS:
            self.take(result)
        rows = [[None if pq.PQgetisnull(result, row, column) else pq.PQgetvalue(result, row, column).decode()
                 for column in range(pq.PQnfields(result))] for row in range(pq.PQntuples(result))]
        pq.PQclear(result)
        return rows

    def value(self, sql, *values):
        return self.rows(sql, *values)[0][0]

    def run(self, *statements):
        for statement in statements:
            self.simple(statement.encode())

    def as_member(self, user_id, org_id):
        """Begins a transaction of a signed-in member, as an HTTP request would be."""
        self.run("begin")
        self.rows("select saas.assume_identity($1, $2)", user_id, org_id)
        self.run("set local role saas_user")
