#!/bin/sh
# install.sh: in the guest's tree, before it ever ran: the packages in /d, enrolled with /s; an agent who works by
# himself; a way to CERT, which runs outside.
set -eu
dpkg --install /d/recueil_*.deb /d/recueil-simulator_*.deb
useradd --create-home agent
sh /g/enrol.sh /s 127.0.0.1:8443
install -m 644 /g/10-station.rules /etc/polkit-1/rules.d/
install -m 755 /g/vm/agent.py /g/vm/budgets.py /usr/local/sbin/

units=/etc/systemd/system
# CERT's certificate names this machine, so a way to it is on this machine. Its address is on the kernel's line.
cat >$units/cert.socket <<'UNIT'
[Socket]
ListenStream=127.0.0.1:8443
UNIT
cat >$units/cert.service <<'UNIT'
[Service]
ExecStart=/bin/sh -c 'exec /lib/systemd/systemd-socket-proxyd $(sed "s/.*cert=\\([^ ]*\\).*/\\1/" /proc/cmdline)'
UNIT
# What is in the outbox before any service has looked at it.
cat >$units/outbox.service <<'UNIT'
[Unit]
Before=recueild.service recueil-courier.service
[Service]
Type=oneshot
StandardOutput=file:/dev/ttyS1
ExecStart=/bin/sh -c 'cd /var/lib/recueil-ready; echo outbox *.p7m'
UNIT
cat >$units/agent.service <<'UNIT'
[Unit]
ConditionKernelCommandLine=!budgets
Wants=recueil-virtual.service
After=outbox.service recueild.service recueil-hostd.service recueil-courier.service recueil-virtual.service
[Service]
User=agent
StandardOutput=file:/dev/ttyS1
StandardError=journal+console
ExecStart=/usr/bin/python3 /usr/local/sbin/agent.py
UNIT
# In the agent's place, where the kernel's line says so.
cat >$units/budgets.service <<'UNIT'
[Unit]
ConditionKernelCommandLine=budgets
Wants=recueil-virtual.service
After=outbox.service recueild.service recueil-hostd.service recueil-courier.service recueil-virtual.service
[Service]
StandardOutput=file:/dev/ttyS1
StandardError=journal+console
ExecStart=/usr/bin/python3 /usr/local/sbin/budgets.py
UNIT
mkdir -p $units/multi-user.target.wants $units/sockets.target.wants
for unit in outbox.service agent.service budgets.service; do
    ln -s "../$unit" $units/multi-user.target.wants/
done
ln -s ../cert.socket $units/sockets.target.wants/
for unit in serial-getty@ttyS0.service getty@tty1.service systemd-udev-trigger.service console-getty.service; do
    ln -sf /dev/null "$units/$unit"
done
