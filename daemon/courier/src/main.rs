//! recueil-courier: parcels out, receipts in, the only network.

fn main() {}
