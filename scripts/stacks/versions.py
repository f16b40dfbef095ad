"""The version of the emulator that answers at an address."""

import http.client
import json
from urllib.parse import urlsplit


def find_emulator(endpoint: str) -> str:
    """The version that the emulator reports, "" if it does not respond."""
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=2)
    try:
        connection.request("GET", "/_ministack/health")
        answer = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return ""
    finally:
        connection.close()
    version = answer.get("version") if isinstance(answer, dict) else None
    return f"ministack {version}" if version else ""
