//! Relocations of a position-independent program take 24 bytes each in the usual form; packed (`DT_RELR`, glibc 2.36,
//! which is Debian 12's) they take 9 kB instead of 730, all of which is read at each start.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
}
