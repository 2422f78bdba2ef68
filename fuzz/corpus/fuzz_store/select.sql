SELECT ?, '?' FROM t -- ?
WHERE "a?" = ? /* ? */ AND x = 'it''s'