"""Bring the database to what this release needs; whatever is there already is left as it is.

Only what the old release bears: it serves while this runs, and alone again after a rollback.
"""

import os
import sqlite3

CHANGES = ["CREATE TABLE orders (id INTEGER PRIMARY KEY)"]

database = sqlite3.connect(os.environ["SHOP_DATABASE"])
done = database.execute("PRAGMA user_version").fetchone()[0]
for number, change in enumerate(CHANGES[done:], done + 1):
    with database:
        database.execute("BEGIN IMMEDIATE")
        database.execute(change)
        database.execute(f"PRAGMA user_version = {number}")
    print(f"change {number}: {change}")
print(f"at change {len(CHANGES)}, for {os.environ['INTERLOCK_VERSION']} in {os.environ['INTERLOCK_ENVIRONMENT']}")
