//! recueil-virtual plays the hardware of the simulator plugin.

fn main() {}
