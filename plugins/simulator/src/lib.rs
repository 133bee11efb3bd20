//! The simulator plugin: reader, camera and scanner on a virtual bus.
#![forbid(unsafe_code)]

pub mod protocol;
