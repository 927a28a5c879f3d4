SELECT i, 'row' FROM generate_series(1, 100000) AS i;
