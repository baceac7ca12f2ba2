"""Create and fill the tables of the queries, with the same rows in every run."""

import asyncpg

USERS = 500
"""How many users the forum has; each customer names one."""

DEFINED = """
CREATE TABLE artist (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE album (id bigint PRIMARY KEY, artist_id bigint NOT NULL REFERENCES artist, title text NOT NULL);
CREATE TABLE track (
    id bigint PRIMARY KEY, album_id bigint NOT NULL REFERENCES album, title text NOT NULL,
    milliseconds integer NOT NULL, unit_price numeric(10, 2) NOT NULL
);
CREATE TABLE customer (
    id bigint PRIMARY KEY, name text NOT NULL, email text, city text NOT NULL, country text NOT NULL,
    segment text NOT NULL, credit numeric(12, 2), created_at timestamptz NOT NULL, user_id bigint NOT NULL
);
CREATE TABLE product (id bigint PRIMARY KEY, name text NOT NULL, price numeric(10, 2) NOT NULL);
CREATE TABLE orders (
    id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customer, placed_at timestamptz NOT NULL,
    status text NOT NULL, total numeric(12, 2) NOT NULL
);
CREATE TABLE item (
    id bigint PRIMARY KEY, order_id bigint NOT NULL REFERENCES orders, product_id bigint NOT NULL REFERENCES product,
    quantity integer NOT NULL
);
"""
FILLED = f"""
INSERT INTO artist SELECT n, 'Artist ' || n FROM generate_series(1, 300) n;
INSERT INTO album SELECT n, (n - 1) / 3 + 1, 'Album ' || n FROM generate_series(1, 900) n;
INSERT INTO track SELECT n, (n - 1) / 10 + 1, 'Track ' || n, 120000 + n * 7919 % 240000, 0.99 + n % 3
    FROM generate_series(1, 9000) n;
INSERT INTO customer SELECT n, 'Customer ' || n, CASE WHEN n % 10 > 0 THEN 'billing@customer' || n || '.example' END,
        (ARRAY['Paris', 'Köln', 'Oslo', 'Porto', 'Graz'])[n % 5 + 1], (ARRAY['FR', 'DE', 'NO', 'PT', 'AT'])[n % 5 + 1],
        (ARRAY['ENTERPRISE', 'MID_MARKET', 'SMALL_BUSINESS'])[n % 3 + 1],
        CASE WHEN n % 7 > 0 THEN n * 1000.00 END, timestamptz '2020-01-01 00:00+00' + n * interval '1 hour',
        n * 31 % {USERS} + 1
    FROM generate_series(1, 10000) n;
INSERT INTO product SELECT n, 'Product ' || n, n + 0.50 FROM generate_series(1, 500) n;
INSERT INTO orders SELECT n, n % 10000 + 1, timestamptz '2025-01-01 00:00+00' + n * interval '5 minutes',
        (ARRAY['PENDING', 'PAID', 'SHIPPED'])[n % 3 + 1], n % 1000 + 0.25
    FROM generate_series(1, 100000) n;
INSERT INTO item SELECT n, (n - 1) / 3 + 1, n * 7 % 500 + 1, n % 9 + 1 FROM generate_series(1, 300000) n;
"""
INDEXED = """
CREATE INDEX ON album (artist_id, id);
CREATE INDEX ON track (album_id, id);
CREATE INDEX ON orders (customer_id, placed_at DESC, id);
CREATE INDEX ON item (order_id, id);
"""


async def fill(url: str) -> None:
    """Indexes come last; statistics after them."""
    connection = await asyncpg.connect(url)
    try:
        for script in (DEFINED, FILLED, INDEXED, "ANALYZE"):
            await connection.execute(script)
    finally:
        await connection.close()
