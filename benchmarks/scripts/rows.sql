SELECT id, payload FROM bench_rows LIMIT 10000;
