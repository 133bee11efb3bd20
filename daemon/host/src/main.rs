//! recueil-device-host: one plugin, one device, in a sandbox.

fn main() {}
