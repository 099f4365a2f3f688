-- Fills a month of the table as readings arrive: quarter of an hour by quarter of an hour, feeder by
-- feeder. From one running number, so that nothing is sorted and nothing is kept: a hundred million
-- rows take minutes.
INSERT INTO {table}
SELECT CASE f WHEN 1 THEN 'ieee33-' ELSE 'g' || f || '-' END || b, t, 60 + 20 * sin(b * f), 30
FROM (
    SELECT n % 33 + 1 AS b, n / 33 % {feeders} + 1 AS f,
           '{first}'::timestamptz + n / (33 * {feeders}) * interval '15 min' AS t
    FROM (
        SELECT generate_series(0, extract(epoch FROM
            '{next}'::timestamptz - '{first}'::timestamptz)::int / 900 * 33 * {feeders} - 1) AS n
    ) numbers
) rows
