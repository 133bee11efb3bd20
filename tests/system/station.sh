#!/bin/sh
# station.sh: makes of a guest with the package `recueil` a station at work: virtual devices, a CERT's keys, an agent
# who may collect, somebody curious who may not. CERT itself is the test's; it will listen at 127.0.0.1:8443.
set -eu
here=$(dirname "$0")

dpkg --install /d/recueil-simulator_*.deb >/dev/null
useradd --system cert
useradd --create-home agent
useradd --create-home curieux

/b/recueil-cert init /var/lib/cert --station mairie-demo-1
mv /var/lib/cert/station /root/station
chown -R cert: /var/lib/cert
"$here/enrol.sh" /root/station 127.0.0.1:8443

install -m 644 "$here/10-station.rules" /etc/polkit-1/rules.d/
# A polkit that runs already may have looked at the rules while they were written.
systemctl restart polkit.service
systemctl start recueil-virtual.service
systemctl restart recueil-courier.service recueil-hostd.service recueild.service
