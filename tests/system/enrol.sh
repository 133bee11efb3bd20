#!/bin/sh
# enrol.sh FOLDER ADDRESS: what an administrator does in the guest with what CERT gave him for this station (FOLDER,
# see tests/cert/PROTOCOL.md): keys and trust in their places, the lines of recueil.toml that name them.
set -eu
from=$1 address=$2

install -d -o recueil -g recueil -m 700 /var/lib/recueil/keys
for name in seal encryption; do
    install -o recueil -g recueil -m 600 "$from/$name.key" "$from/$name.crt" /var/lib/recueil/keys/
done
install -d -o recueil-courier -g recueil-courier -m 700 /var/lib/recueil-courier/keys
install -o recueil-courier -g recueil-courier -m 600 "$from/tls.key" "$from/tls.crt" /var/lib/recueil-courier/keys/
install -d /etc/recueil/trust
install -m 644 "$from"/trust/*.crt /etc/recueil/trust/

# The lines are in the file already, as comments; the simulator's folder is not.
sed -i -E \
    -e 's/^#(\[recueild\.keys\]|(seal|encryption)_(key|certificate) =|cert_roots =|recipients =|receipt_(roots|usage) =|tls_)/\1/' \
    -e 's/^id = ""/id = "mairie-demo-1"/; s/^station = ""/station = "mairie-demo-1"/' \
    -e "s|^#url = .*|url = \"https://$address\"|" \
    -e 's/^#status_poll_s = .*/status_poll_s = 1/' \
    -e 's|^\[hostd\]|[hostd]\nvirtual_dir = "/run/recueil-virtual"\nlandlock_abi_max = 2|' \
    /etc/recueil/recueil.toml
