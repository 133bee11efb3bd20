#!/bin/sh
# Opens and checks what the demo left, with openssl and Python's standard library and nothing of ours.
# usage: tests/verify-parcel.sh DIR
set -eu
dir=${1:?the folder that the demo left}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "opening the parcel with CERT's key"
openssl cms -decrypt -binary -inform DER -in "$dir/parcel.p7m" -recip "$dir/cert.pem" -inkey "$dir/cert.key" \
    -out "$work/dossier.asice"

echo "digests of the manifest"
python3 - "$work/dossier.asice" "$work" <<'PYTHON'
import base64, hashlib, json, sys, xml.etree.ElementTree as tree, zipfile
container, work = sys.argv[1:]
archive = zipfile.ZipFile(container)
assert archive.testzip() is None
names = archive.namelist()
assert len(names) == len(set(names)) and names[0] == "mimetype"
assert archive.read("mimetype") == b"application/vnd.etsi.asic-e+zip"
asic, dsig = "{http://uri.etsi.org/02918/v1.2.1#}", "{http://www.w3.org/2000/09/xmldsig#}"
manifest = archive.read("META-INF/ASiCManifest001.xml")
listed = {}
for reference in tree.fromstring(manifest).iter(asic + "DataObjectReference"):
    assert reference.find(dsig + "DigestMethod").get("Algorithm") == "http://www.w3.org/2001/04/xmlenc#sha256"
    listed[reference.get("URI")] = base64.b64decode(reference.find(dsig + "DigestValue").text)
assert set(listed) == {name for name in names if not name.startswith("META-INF/")} - {"mimetype"}
for name, digest in listed.items():
    assert hashlib.sha256(archive.read(name)).digest() == digest, name
dossier = json.loads(archive.read("dossier.json"))
for item in dossier["content"]["items"].values():
    data = next(archive.read(name) for name in names if name.rsplit(".", 1)[0] == item["name"])
    assert hashlib.sha256(data).hexdigest() == item["sha256"] and len(data) == item["len_bytes"], item["name"]
for name in ("META-INF/ASiCManifest001.xml", "META-INF/signature001.p7s"):
    open(f"{work}/{name.rsplit('/', 1)[1]}", "wb").write(archive.read(name))
open(f"{work}/manifest.sha256", "w").write(hashlib.sha256(archive.read("dossier.json")).hexdigest())
print(f"  {len(listed)} files of dossier {dossier['dossier']} are as the manifest says")
PYTHON

echo "the station's signature over the manifest"
openssl cms -verify -cades -binary -inform DER -in "$work/signature001.p7s" -content "$work/ASiCManifest001.xml" \
    -CAfile "$dir/ca.pem" -purpose any -out /dev/null

for receipt in r1 r2; do
    echo "receipt $receipt"
    openssl cms -verify -cades -binary -inform DER -in "$dir/receipt-$receipt.p7s" -CAfile "$dir/ca.pem" -purpose any \
        -out "$work/$receipt.json"
done

echo "the receipts are of this parcel"
python3 - "$dir/parcel.p7m" "$work" <<'PYTHON'
import hashlib, json, sys
parcel, work = sys.argv[1:]
data = open(parcel, "rb").read()
for kind in ("r1", "r2"):
    receipt = json.load(open(f"{work}/{kind}.json"))
    assert receipt["type"] == kind.upper()
    assert receipt["parcel_sha256"] == hashlib.sha256(data).hexdigest() and receipt["size"] == len(data)
assert receipt["manifest_sha256"] == open(f"{work}/manifest.sha256").read()
print(f"  demande {receipt['demande']}")
PYTHON
echo "all is as it should be"
