-- One file for the whole town. The book is a table of it and no file of its own, because SQLite in WAL
-- mode commits two attached files one after the other: a kill between them would leave an effect unbooked.

CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- The shop
CREATE TABLE IF NOT EXISTS customers (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, address TEXT NOT NULL,
  country TEXT NOT NULL, since TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS products (
  sku TEXT PRIMARY KEY, name TEXT NOT NULL, price_minor INTEGER NOT NULL, currency TEXT NOT NULL,
  stock INTEGER NOT NULL CHECK (stock >= 0)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS orders (
  id TEXT PRIMARY KEY, customer TEXT NOT NULL, charge TEXT NOT NULL, total_minor INTEGER NOT NULL,
  currency TEXT NOT NULL, items TEXT NOT NULL, status TEXT NOT NULL, status_key TEXT, status_reason TEXT,
  placed_at TEXT NOT NULL, delivered_at TEXT, ship_country TEXT NOT NULL, bill_country TEXT NOT NULL,
  tracking TEXT);
CREATE INDEX IF NOT EXISTS orders_customer ON orders (customer);
CREATE TABLE IF NOT EXISTS returns (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, order_id TEXT NOT NULL, reason TEXT NOT NULL, key TEXT,
  created_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS returns_order ON returns (order_id);
CREATE INDEX IF NOT EXISTS returns_key ON returns (key);
CREATE TABLE IF NOT EXISTS replacements (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, order_id TEXT NOT NULL, skus TEXT NOT NULL, key TEXT,
  created_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS replacements_order ON replacements (order_id);
CREATE INDEX IF NOT EXISTS replacements_key ON replacements (key);

-- Payments. An opening refund happened before the town opened: it is state, but no effect in the book.
CREATE TABLE IF NOT EXISTS charges (
  id TEXT PRIMARY KEY, amount_minor INTEGER NOT NULL, currency TEXT NOT NULL,
  created_at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refunds (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, charge TEXT NOT NULL, amount_minor INTEGER NOT NULL,
  currency TEXT NOT NULL, reference TEXT, key TEXT, opening INTEGER NOT NULL DEFAULT 0,
  created_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS refunds_charge ON refunds (charge);
CREATE INDEX IF NOT EXISTS refunds_reference ON refunds (reference);
CREATE INDEX IF NOT EXISTS refunds_key ON refunds (key);

-- Mail
CREATE TABLE IF NOT EXISTS messages (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, address TEXT NOT NULL, template TEXT NOT NULL,
  data TEXT NOT NULL, reference TEXT, key TEXT, created_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS messages_address ON messages (address);
CREATE INDEX IF NOT EXISTS messages_reference ON messages (reference);
CREATE INDEX IF NOT EXISTS messages_key ON messages (key);

-- What people are told: letters of the post office, posts of the chat
CREATE TABLE IF NOT EXISTS letters (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, sender TEXT, reader TEXT NOT NULL,
  subject TEXT NOT NULL, message_id TEXT, text TEXT NOT NULL, raw TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS posts (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, hook TEXT NOT NULL, text TEXT NOT NULL);

-- What every service remembers of a key, for a time
CREATE TABLE IF NOT EXISTS idempotency (
  service TEXT NOT NULL, key TEXT NOT NULL, request_hash TEXT NOT NULL, status INTEGER NOT NULL,
  body BLOB NOT NULL, at_s REAL NOT NULL, PRIMARY KEY (service, key)) WITHOUT ROWID;

-- The hall's own records
CREATE TABLE IF NOT EXISTS book (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, service TEXT NOT NULL, operation TEXT NOT NULL,
  key TEXT, reference TEXT, resource TEXT NOT NULL, amount_minor INTEGER, currency TEXT,
  request_hash TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS access (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, service TEXT NOT NULL, method TEXT NOT NULL,
  route TEXT NOT NULL, operation TEXT, key TEXT, status INTEGER, fault TEXT);
CREATE INDEX IF NOT EXISTS access_fault ON access (service, operation, fault) WHERE fault IS NOT NULL;
CREATE TABLE IF NOT EXISTS fault_rules (
  no INTEGER PRIMARY KEY, rule TEXT NOT NULL, left_n INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS seen (token BLOB PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS late (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, service TEXT NOT NULL, path TEXT NOT NULL, query BLOB NOT NULL,
  headers TEXT NOT NULL, body BLOB NOT NULL, due_s REAL NOT NULL);

-- The feed: its stories, in the order in which they happened, and each sending of one
CREATE TABLE IF NOT EXISTS feeds (
  no INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, amount TEXT NOT NULL,
  total INTEGER NOT NULL, planned INTEGER NOT NULL DEFAULT 0, start_s REAL NOT NULL, day_s REAL NOT NULL,
  per_second REAL, url TEXT NOT NULL, token TEXT);
CREATE TABLE IF NOT EXISTS events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, feed INTEGER NOT NULL, id TEXT NOT NULL UNIQUE,
  type TEXT NOT NULL, envelope TEXT NOT NULL, outcome TEXT NOT NULL, refund_minor INTEGER NOT NULL,
  mail TEXT);
CREATE TABLE IF NOT EXISTS sendings (
  place INTEGER PRIMARY KEY AUTOINCREMENT, feed INTEGER NOT NULL, event INTEGER NOT NULL,
  duplicate INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, status INTEGER);
CREATE INDEX IF NOT EXISTS sendings_open ON sendings (feed, place) WHERE status IS NULL;
