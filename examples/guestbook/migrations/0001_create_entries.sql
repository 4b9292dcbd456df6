-- What guests wrote. Times are whole seconds since 1970, in UTC.
CREATE TABLE entries (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    author     TEXT    NOT NULL CHECK (author <> ''),
    message    TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
