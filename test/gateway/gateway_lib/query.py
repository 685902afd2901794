"""query.py: the statements that PostgREST makes of a path, a query string and a body."""
import re

OPERATORS = {"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "like": "like", "ilike": "ilike",
             "cs": "@>", "match": "~"}
RESERVED = ("select", "order", "limit", "offset", "columns", "and", "or", "not")
SETTINGS = ("nullif(current_setting('response.headers', true), '') as response_headers,"
            " nullif(current_setting('response.status', true), '') as response_status")


class BadRequest(Exception):
    pass


def identifier(name):
    return '"' + name.replace('"', '""') + '"'


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def field(text):
    """column or column->path->>path"""
    column, *path = re.split(r"(->>?)", text)
    return identifier(column) + "".join(
        part if part.startswith("->") else part if part.isdigit() else literal(part) for part in path)


def select_item(text):
    match = re.fullmatch(r"(?:(\w+):)?([^:]+?)(?:::(\w+))?", text)
    if match is None:
        raise BadRequest("select")
    alias, name, cast = match.groups()
    last = re.split(r"->>?", name)[-1]
    expression = f"cast({field(name)} as {cast})" if cast else field(name)
    return expression if name == "*" else f"{expression} as {identifier(alias or last)}"


class Query:
    def __init__(self, parameters):
        self.values = []
        self.select, self.filters, self.tail = "*", [], ""
        for name, value in parameters:
            self.take(name, value)

    def parameter(self, value):
        self.values.append(value)
        return f"${len(self.values)}"

    def take(self, name, value):
        if name == "select":
            self.select = ", ".join("*" if item == "*" else select_item(item) for item in value.split(","))
        elif name == "order":
            keys = [key.split(".") for key in value.split(",")]
            self.tail = " order by " + ", ".join(
                field(key[0]) + (" desc" if "desc" in key[1:] else " asc") for key in keys) + self.tail
        elif name in ("limit", "offset"):
            self.tail += f" {name} {int(value)}"
        elif name in RESERVED:
            raise BadRequest(name)
        else:
            self.filters.append(self.filter(name, value))

    def filter(self, name, value):
        operator, _, operand = value.partition(".")
        negated = operator == "not"
        if negated:
            operator, _, operand = operand.partition(".")
        if operator == "is" and operand in ("null", "true", "false"):
            condition = f"{field(name)} is {operand}"
        elif operator == "in":
            condition = f"{field(name)} = any({self.parameter('{' + operand.strip('()') + '}')})"
        elif operator in OPERATORS:
            operand = operand.replace("*", "%") if operator in ("like", "ilike") else operand
            condition = f"{field(name)} {OPERATORS[operator]} {self.parameter(operand)}"
        else:
            raise BadRequest(name)
        return f"not ({condition})" if negated else condition

    def finish(self, source, body):
        where = " where " + " and ".join(self.filters) if self.filters else ""
        return (f"with pgrst_source as ({source}) select {body} as body, {SETTINGS}"
                f" from (select {self.select} from pgrst_source{where}{self.tail}) _postgrest_t")


def of_view(schema, view, parameters):
    query = Query(parameters)
    sql = query.finish(f"select * from {identifier(schema)}.{identifier(view)}",
                       "coalesce(json_agg(_postgrest_t), '[]')::text")
    return sql, query.values


def of_function(schema, function, parameters, body):
    """body is the JSON text of a POST, None for GET, whose arguments are in the query string."""
    types = function["arguments"]
    given = [(name, value) for name, value in parameters if name in types] if body is None else []
    query = Query([pair for pair in parameters if body is not None or pair[0] not in types])
    name = f"{identifier(schema)}.{identifier(function['name'])}"
    if body is None:
        payload = ""
        arguments = ", ".join(f"{identifier(key)} := {query.parameter(value)}::{types[key]}" for key, value in given)
    else:
        used = [key for key in types if key in function["keys"]]
        columns = ", ".join(f"{identifier(key)} {types[key]}" for key in used)
        payload = f"(select {query.parameter(body)}::json as json_data) pgrst_payload, " + (
            f"lateral (select * from json_to_record(pgrst_payload.json_data) as _({columns}) limit 1) pgrst_body, "
            if used else "")
        arguments = ", ".join(f"{identifier(key)} := pgrst_body.{identifier(key)}" for key in used)
    if function["is_scalar"]:
        source = f"select pgrst_call.pgrst_scalar from {payload}lateral (select {name}({arguments}) pgrst_scalar) pgrst_call"
        result = "coalesce(json_agg(_postgrest_t.pgrst_scalar)->0, 'null')::text"
        if function["is_raw"]:
            result = "to_json(convert_from((array_agg(_postgrest_t.pgrst_scalar))[1], 'UTF8'))::text"
    else:
        source = f"select pgrst_call.* from {payload}lateral {name}({arguments}) pgrst_call"
        result = "coalesce(json_agg(_postgrest_t), '[]')::text"
    return query.finish(source, result), query.values
