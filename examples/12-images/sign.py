"""Sign an image as `cosign sign --key` does, for where cosign is not at hand: python3 sign.py NAME@DIGEST KEY.

The signature is made by openssl. It is kept in the registry as an image of its own, under the tag sha256-HEX.sig, whose
layer is the text that was signed and whose annotation is the signature (cosign, specs/SIGNATURE_SPEC.md).
"""

import base64
import hashlib
import json
import subprocess
import sys
import urllib.request

name, digest = sys.argv[1].split("@")
host, _, repository = name.partition("/")
api = f"http://{host}/v2/{repository.partition(':')[0]}"


def send(method: str, url: str, body: bytes = b"", kind: str = "application/octet-stream") -> str:
    request = urllib.request.Request(url, body or None, {"Content-Type": kind}, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers.get("Location") or ""


def blob(content: bytes, kind: str) -> dict[str, object]:
    named = f"sha256:{hashlib.sha256(content).hexdigest()}"
    place = send("POST", f"{api}/blobs/uploads/")
    send("PUT", f"{place}{'&' if '?' in place else '?'}digest={named}", content)
    return {"mediaType": kind, "digest": named, "size": len(content)}


about = {"identity": {"docker-reference": name}, "image": {"docker-manifest-digest": digest}}
text = json.dumps({"critical": {**about, "type": "cosign container image signature"}, "optional": None}).encode()
openssl = ["openssl", "dgst", "-sha256", "-sign", sys.argv[2]]
signature = base64.b64encode(subprocess.run(openssl, input=text, check=True, capture_output=True).stdout).decode()
layer = blob(text, "application/vnd.dev.cosign.simplesigning.v1+json")
layer["annotations"] = {"dev.cosignproject.cosign/signature": signature}
kind = "application/vnd.oci.image.manifest.v1+json"
manifest = {"schemaVersion": 2, "mediaType": kind, "layers": [layer]}
manifest["config"] = blob(b"{}", "application/vnd.oci.image.config.v1+json")
send("PUT", f"{api}/manifests/{digest.replace(':', '-')}.sig", json.dumps(manifest).encode(), kind)
print(f"signed {digest}")
