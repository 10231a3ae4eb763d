"""The few users of the service: `users.py PORT`, a request every two seconds."""

import sys
import time
from urllib.error import URLError
from urllib.request import urlopen

URL = f"http://127.0.0.1:{sys.argv[1]}/"

while True:
    try:
        with urlopen(URL, timeout=10) as answer:
            print(answer.headers["X-Version"], flush=True)
    except (URLError, OSError) as error:
        print(f"FAILED: {error}", flush=True)
    time.sleep(2)
