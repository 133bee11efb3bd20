"""The agent of the guest: collects and seals one dossier after the other, and tells each thing that the station
accepted, at once, on a serial line that ends outside (standard output). After a power cut he looks at what is there,
tells it, and goes on with it. With `last` on the kernel's line he opens nothing new and follows all to their end.

    state ID STATE      what the station says of a dossier after its start
    holds ID WHAT…      what it says the draft holds: names with digests
    looked              all that was there has been told
    opened|sealing|sealed|arrived ID
    done                every dossier has arrived at CERT
"""

import json, socket, subprocess, time

CONTROL = "/run/recueil-virtual/control.sock"
SCANS = {"recapitulatif": "page", "justificatif-domicile": "page", "photo": "photo", "signature": "signature"}
LAST = " last" in open("/proc/cmdline").read()


class Refused(Exception):
    pass


def tell(*words):
    print(*words, flush=True)


def ctl(*words):
    done = subprocess.run(["recueilctl", "--quiet", "--json", *words], capture_output=True, text=True)
    if done.returncode:
        raise Refused(" ".join(words) + ": " + done.stdout.strip()[:300] + done.stderr.strip()[:300])
    return json.loads(done.stdout)


def show(glass):
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(CONTROL)
        order = {"command": "next", "device": "flatbed", "presentations": [{"glass": {"kind": glass}}]}
        control.sendall(json.dumps(order).encode() + b"\n")
        control.makefile().readline()


def dossiers():
    """Oldest first."""
    return sorted(ctl("dossier", "list")["dossiers"], key=lambda dossier: dossier["id"])


def tell_what_it_holds(dossier):
    shown = ctl("dossier", "show", dossier)
    items = [item["name"] + "=" + item["sha256"][:16] for item in shown["items"]]
    if shown["dossier"]["pre-demande"]:
        items.append("pre-demande")
    tell("holds", dossier, *items)


def look():
    for dossier in dossiers():
        tell("state", dossier["id"], dossier["state"])
        if dossier["state"] == "draft":
            tell_what_it_holds(dossier["id"])
    tell("looked")


def collect(dossier, number):
    while missing := ctl("dossier", "missing", dossier)["missing"]:
        one = missing[0]
        what, name = one["what"], one["name"]
        if what == "pre-demande":
            ctl("dossier", "fetch", dossier, number)
        elif what == "field" and name == "motif":
            ctl("dossier", "set", dossier, name, "premiere-demande")
        elif what == "document" and name == "acte-naissance":
            ctl("dossier", "decide", dossier, name, "absent", "comedec")
        elif what == "document":
            show(SCANS[name])
            ctl("scan", dossier, name)
        elif what == "photo":
            show("photo")
            ctl("capture", "photo", dossier)
        elif what == "signature":
            show("signature")
            ctl("scan", dossier, "--signature")
        elif what.startswith("fingerprint"):
            ctl("capture", "fingerprints", dossier)
        else:
            raise Refused(f"nobody told the agent how to get {what} {name}")
        tell_what_it_holds(dossier)


def work():
    known = dossiers()
    draft = next((one["id"] for one in known if one["state"] == "draft"), None)
    if draft is None:
        if LAST:
            for one in known:
                ctl("follow", one["id"], "--until", "in-instruction", "--timeout", "600")
                tell("arrived", one["id"])
            tell("done")
            return False
        draft = ctl("dossier", "open", "deposit/cni-adulte")["dossier"]["id"]
        tell("opened", draft)
    ids = sorted({one["id"] for one in known} | {draft})
    collect(draft, f"VM{ids.index(draft):08}")
    tell("sealing", draft)
    ctl("seal", draft)
    tell("sealed", draft)
    return True


def patiently(job):
    """Devices and CERT may be away for a moment after a start."""
    for wait_s in (1, 1, 2, 5, 10, 20, 30, None):
        try:
            return job()
        except (Refused, OSError) as refused:
            tell("refused", str(refused).replace("\n", " "))
            if wait_s is None:
                raise
            time.sleep(wait_s)


patiently(look)
while patiently(work):
    pass
