-- One row for a day and a shard of the backfill, so that shards never write to each other's rows and a shard that runs
-- again replaces only its own.
CREATE TABLE daily_totals (
    day     TEXT    NOT NULL, -- YYYY-MM-DD, UTC
    shards  INTEGER NOT NULL,
    shard   INTEGER NOT NULL CHECK (shard BETWEEN 0 AND shards - 1),
    entries INTEGER NOT NULL,
    PRIMARY KEY (day, shards, shard)
) STRICT, WITHOUT ROWID;

CREATE VIEW totals_by_day AS
SELECT day, sum(entries) AS entries
FROM daily_totals
GROUP BY day;
