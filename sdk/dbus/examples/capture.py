#!/usr/bin/python3
"""Takes both hands for an identity card and shows how: capture.py DIR [BUS-ADDRESS]. Needs python3-dbus and
python3-gi. A preview picture goes to DIR/preview.pgm."""

import socket, sys, threading
import dbus, dbus.mainloop.glib
from gi.repository import GLib

NAME, ROOT = "fr.recueil.Station1", "/fr/recueil/Station1"
HANDS = {13: "right hand, four fingers", 14: "left hand, four fingers"}


def main(folder, address=None):
    dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
    bus = dbus.bus.BusConnection(address) if address else dbus.SystemBus()
    loop = GLib.MainLoop()
    # Before the capture is started, so that none of its signals is missed.
    bus.add_signal_receiver(show_guidance, "Guidance", "fr.recueil.Capture1", NAME)
    bus.add_signal_receiver(lambda view: show_state(view, loop), "Changed", "fr.recueil.Capture1", NAME)

    station = dbus.Interface(bus.get_object(NAME, ROOT), NAME)
    station.OpenAgentSession("agent.example", dbus.Dictionary(signature="sv"))
    dossier_path, _id = station.OpenDossier("deposit", "cni-adulte", dbus.Dictionary(signature="sv"))
    dossier = dbus.Interface(bus.get_object(NAME, dossier_path), "fr.recueil.Dossier1")
    print("dossier opened; missing:", len(dossier.Missing()))

    path = dossier.StartCapture("empreintes", find_reader(bus), {"auto-retry": True})
    capture = dbus.Interface(bus.get_object(NAME, path), "fr.recueil.Capture1")
    stream = socket.socket(fileno=capture.Preview().take())
    reader = threading.Thread(target=save_preview, args=(stream, f"{folder}/preview.pgm"))
    reader.start()
    loop.run()

    reader.join()
    for result in capture.Results():
        print("result:", " ".join(f"{key}={value}" for key, value in sorted(result.items())))
    dossier.Cancel()  # An example keeps nobody's fingerprints.


def find_reader(bus):
    manager = dbus.Interface(bus.get_object(NAME, ROOT), "org.freedesktop.DBus.ObjectManager")
    for interfaces in manager.GetManagedObjects().values():
        device = interfaces.get("fr.recueil.Device1", {})
        if "fingerprint" in device.get("Modalities", []) and device["State"] == "ready":
            return device["Id"]
    sys.exit("no fingerprint reader is ready")


def show_guidance(code, details):
    hand = HANDS.get(int(details.get("position", 0)), "")
    print("guidance:", code, hand, flush=True)


def show_state(view, loop):
    print("state:", view["state"], view.get("error-text", ""), flush=True)
    if view["state"] in ("completed", "cancelled", "failed"):
        loop.quit()


def save_preview(stream, file):
    """Keeps the last picture; the service ends the stream with the capture."""
    with stream.makefile("rb") as pictures:
        while len(header := pictures.read(32)) == 32:
            width, height, kind, length = (int.from_bytes(header[at:at + 4], "little") for at in (12, 16, 20, 24))
            pixels = pictures.read(length)
            if header[:4] == b"RCLP" and kind == 1 and len(pixels) == length:  # grey
                with open(file, "wb") as pgm:
                    pgm.write(b"P5 %d %d 255\n" % (width, height) + pixels)


if __name__ == "__main__":
    main(*sys.argv[1:])
