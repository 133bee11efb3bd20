//! recueilctl: the station on the command line.

fn main() {}
