//! recueil-hostd: admits plugins, matches devices, starts, limits and kills hosts.

fn main() {}
