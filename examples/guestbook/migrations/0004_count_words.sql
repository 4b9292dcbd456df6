-- The words of an entry are counted by `guestbook backfill`; NULL means not counted yet.
ALTER TABLE entries ADD COLUMN words INTEGER;
ALTER TABLE daily_totals ADD COLUMN words INTEGER NOT NULL DEFAULT 0;

DROP VIEW totals_by_day;
CREATE VIEW totals_by_day AS
SELECT day, sum(entries) AS entries, sum(words) AS words
FROM daily_totals
GROUP BY day;
