"""Users of the service, so that there is something to watch: `users.py PORT`, a hundred requests a second."""

import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.error import URLError
from urllib.request import Request, urlopen

URL = f"http://127.0.0.1:{sys.argv[1]}/"
seen: Counter[str] = Counter()


def ask(user: int) -> None:
    """Ask once, as one of a thousand users, and note who answered or what went wrong."""
    try:
        with urlopen(Request(URL, headers={"X-User": str(user % 1000)}), timeout=10) as answer:
            seen[answer.headers["X-Version"]] += 1
    except (URLError, OSError) as error:
        seen[f"FAILED: {error}"] += 1


with ThreadPoolExecutor(20) as threads:
    for number in range(1_000_000):
        threads.submit(ask, number)
        time.sleep(0.01)
        if number % 1000 == 999:
            print(dict(seen), flush=True)
