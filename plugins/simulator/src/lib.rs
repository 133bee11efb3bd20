//! The simulator plugin: reader, camera and scanner on a virtual bus.
