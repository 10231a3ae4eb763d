"""The users of the service: `users.py PORT`. 200 of them, 200 requests a second; what is not answered is printed."""

import random
import sys
import time
from http.client import HTTPConnection, HTTPException
from threading import Thread

AT_ONCE, PER_SECOND, USERS = 16, 200, 200


def come(port: int) -> None:
    """Send one request after another on a connection that is kept, each for a user picked at random."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    while True:
        try:
            connection.request("GET", "/", headers={"X-User": f"user-{random.randrange(USERS)}"})
            connection.getresponse().read()
        except (OSError, HTTPException) as error:
            print(f"FAILED: {error!r}", flush=True)
            connection.close()
        time.sleep(random.expovariate(PER_SECOND / AT_ONCE))


for _ in range(AT_ONCE):
    Thread(target=come, args=(int(sys.argv[1]),), daemon=True).start()
time.sleep(3600)
